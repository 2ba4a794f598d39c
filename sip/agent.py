"""The SIP user agent without I/O (RFC 3261): bytes and time in, bytes and events out.

Give it what arrives with ``receive`` and call ``handle_timer`` when ``timer`` is due; after each call of any method
take everything from ``to_send`` and ``next_event``. ``now`` is seconds on any clock that never goes back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random, SystemRandom
from typing import TypeVar

from sip.auth import DigestServer
from sip.authenticator import Authenticator
from sip.call import Call
from sip.config import SipConfig
from sip.core import Core, LocalAddress, one_line
from sip.errors import SipError
from sip.events import Event
from sip.headers import NameAddr
from sip.inbox import Inbox
from sip.message import ParseError, Request, parse
from sip.peer import Peer
from sip.registrar import Registrar, RegistrarSettings
from sip.routing import Lookup, Router
from sip.trunk import Trunk, Trunks
from sip.uac import Outgoing, OutgoingInvite
from sip.uas import IncomingInvite
from sip.uri import SipUri
from sip.validation import discard_response

_Phase = TypeVar("_Phase")


class CallStateError(SipError):
    """The call is there, but not in a state in which that can be asked of it."""


class UserAgent:
    """One server's SIP side: registrar, calls in, calls out.

    ``lookup`` finds the hashed password of an account. ``local_address`` tells which of our addresses a peer reaches us
    at. ``rng`` and ``secret`` (which keys the digest nonces) are random unless a test gives them.
    """

    def __init__(
        self,
        config: SipConfig,
        lookup: Lookup,
        *,
        trunks: Sequence[Trunk] = (),
        local_address: LocalAddress | None = None,
        rng: Random | None = None,
        secret: bytes | None = None,
    ) -> None:
        rng = rng or SystemRandom()
        self.config = config
        self._core = Core(config, rng, local_address or self._configured_address)
        authenticator = Authenticator(DigestServer(config.realm, lookup, secret or rng.randbytes(32)))
        settings = RegistrarSettings(config.min_expires, config.max_expires)
        self.registrar = Registrar(authenticator, settings)
        self._router = Router(self._core, self.registrar, Trunks(trunks), lookup)
        self._inbox = Inbox(self._core, self.registrar, authenticator, self._router, lookup)

    # --- from the transport ------------------------------------------------------------------------------------------

    def receive(self, data: bytes, peer: Peer, now: float) -> None:
        """One datagram or framed message. Never raises for what it holds; what is no SIP is dropped or gets 400."""
        try:
            message = parse(data)
        except ParseError as error:
            self._inbox.receive_broken(error, peer)
            return
        if isinstance(message, Request):
            self._inbox.receive(message, peer, now)
        elif not discard_response(message):
            self._core.transactions.receive_response(message, peer, now)

    def receive_unframed(self, head: bytes, reason: str, peer: Peer, now: float) -> None:
        """The header fields of a message whose end a stream did not tell: a request gets 400."""
        try:
            message = parse(head)
        except ParseError as error:
            self._inbox.receive_broken(error, peer)
            return
        if isinstance(message, Request):
            self._inbox.receive_broken(ParseError(reason, message), peer)

    def transport_error(self, peer: Peer, now: float) -> None:
        """Nothing can be sent to that address (section 18.4)."""
        self._core.transactions.transport_error(peer, now)

    def connection_lost(self, peer: Peer, now: float) -> None:
        """The connection ``peer.flow`` is gone, and with it the phones only it led to, the requests not answered yet
        and callers still waiting. Answered calls survive: their next request opens another connection."""
        assert peer.flow is not None
        self._core.events.extend(self.registrar.connection_lost(peer.flow, now))
        self._core.transactions.transport_error(peer, now)
        for call in list(self._core.calls.values()):
            if isinstance(call, IncomingInvite):
                call.connection_lost(peer.flow, now)

    def to_send(self) -> list[tuple[bytes, Peer]]:
        """Messages to send, in order."""
        output = self._core.transactions.output
        messages = list(output)
        output.clear()
        return messages

    def timer(self) -> float | None:
        """When ``handle_timer`` is to be called; None when nothing is pending."""
        deadlines = [at for at in (self._core.timers.next(), self.registrar.timer()) if at is not None]
        return min(deadlines, default=None)

    def handle_timer(self, now: float) -> None:
        self._core.timers.run(now)
        self._core.events.extend(self.registrar.handle_timer(now))

    def next_event(self) -> Event | None:
        return self._core.events.popleft() if self._core.events else None

    # --- control.ports.Phones, with the time -------------------------------------------------------------------------

    def invite(self, number: str, offer: bytes, now: float, *, from_user: str, from_name: str = "") -> str:
        """Call a registered account, a trunk's number or a SIP URI. Returns the call; its outcome is an event."""
        core = self._core
        name = core.token()
        caller = NameAddr(one_line(from_name), SipUri(user=from_user or None, host=self.config.realm))
        OutgoingInvite(core, name, Outgoing(number, caller, offer), self._router).start(now)
        return name

    def ring(self, call: str, now: float, status: int = 180, body: bytes | None = None) -> None:
        """Send a provisional response. ValueError for a status that is none; CallStateError once answered."""
        invite = self._find(call, IncomingInvite)
        if invite is not None:
            invite.ring(status, body, now)

    def answer(self, call: str, body: bytes, now: float) -> None:
        """Answer with 200 until the ACK comes. Raises CallStateError when that was done before."""
        invite = self._find(call, IncomingInvite)
        if invite is not None:
            invite.answer(body, now)

    def reject(self, call: str, status: int, reason: str, now: float, headers: Mapping[str, str] | None = None) -> None:
        """Refuse an incoming call with 300..699. Raises CallStateError once answered."""
        invite = self._find(call, IncomingInvite)
        if invite is not None:
            invite.reject(status, reason, headers, now)

    def hang_up(self, call: str, now: float, reason: str = "") -> None:
        """End the call whatever its state; one already gone is ignored."""
        found = self._core.calls.get(call)
        if found is not None:
            found.hang_up(reason, now)

    def accept_session(self, call: str, body: bytes, now: float) -> None:
        """Answer a SessionOffered."""
        found = self._find(call, Call)
        if found is not None:
            found.accept_session(body, now)

    def refuse_session(self, call: str, status: int, reason: str, now: float) -> None:
        """Refuse a SessionOffered; the old session goes on."""
        found = self._find(call, Call)
        if found is not None:
            found.refuse_session(status, reason, now)

    def modify_session(self, call: str, offer: bytes, now: float) -> None:
        """Propose a new session by re-INVITE, after what is under negotiation already."""
        found = self._find(call, Call)
        if found is not None:
            found.propose(offer, now)

    # --- its state as a whole ----------------------------------------------------------------------------------------

    @property
    def calls(self) -> tuple[str, ...]:
        """The calls there are, in any phase."""
        return tuple(self._core.calls)

    @property
    def idle(self) -> bool:
        """Whether nothing of any call, dialog or transaction is remembered."""
        core = self._core
        return not core.calls and not core.dialogs and core.transactions.idle and not len(core.timers)

    @property
    def settled(self) -> bool:
        """Whether every goodbye has been answered: no dialog is left."""
        return not self._core.calls and not self._core.dialogs

    def close(self, now: float, reason: str = "Shutting down") -> None:
        """End every call (BYE, CANCEL, or 503) and refuse new ones from now on."""
        self._inbox.closing = True
        for name, call in list(self._core.calls.items()):
            if isinstance(call, IncomingInvite):
                self.reject(name, 503, reason, now)
            else:
                call.hang_up(reason, now)

    def _find(self, name: str, phase: type[_Phase]) -> _Phase | None:
        """The call, None when it is gone: its end and the user's wish may cross."""
        found = self._core.calls.get(name)
        if found is None or isinstance(found, phase):
            return found
        raise CallStateError(f"not possible for a call in phase {type(found).__name__}")

    def _configured_address(self, peer: Peer) -> tuple[str, int]:
        """Our announced or first address of the peer's family."""
        version6 = ":" in peer.host
        hosts = [host for host in self.config.hosts if (":" in host) == version6] or self.config.hosts
        return self.config.announce or hosts[0], self.config.port
