"""An INVITE on its way in: from its arrival to our final response (RFC 3261 section 13.3)."""

from __future__ import annotations

from collections.abc import Mapping

from sip.call import Call, answer_info
from sip.core import ALLOW, Core, reason_header, reason_of, session_of
from sip.dialog import Dialog
from sip.events import CallCancelled
from sip.message import Request
from sip.path import Path
from sip.timers import Timer
from sip.transaction import InviteServer, ServerTransaction
from sip.uri import SipUri

RING_AGAIN = 60.0
"""A provisional response is repeated so often, lest proxies give up (section 13.3.1.1)."""


class IncomingInvite:
    """Answered, it makes way for a ``Call`` of the same name and dialog. Raises ParseError or RoutingError when made
    of a request no dialog can be built from."""

    def __init__(self, core: Core, name: str, request: Request, transaction: InviteServer, now: float) -> None:
        self._core = core
        self._name = name
        self._request = request
        self._transaction = transaction
        self._dialog = Dialog.of_server(request, core.token(), core.first_cseq())
        self._path = Path(core, self._dialog)
        self._path.learn_from(request, transaction.peer)
        self._ringing: tuple[int, bytes | None] | None = None
        self._ring_timer: Timer | None = None
        expires = request.number("Expires")
        self._expiry = core.timers.at(now + expires, self._expire) if expires else None
        transaction.user = self
        core.calls[name] = self
        core.dialogs[self._dialog.id] = self

    @property
    def local_tag(self) -> str:
        return self._dialog.id[1]

    # --- what its user asks for --------------------------------------------------------------------------------------

    def ring(self, status: int, body: bytes | None, now: float) -> None:
        """Send a provisional response other than 100; with a session description it is early media."""
        if not 101 <= status <= 199:
            raise ValueError(f"{status} is no provisional status to send")
        if self._ring_timer is not None:
            self._ring_timer.cancel()
        self._ringing = status, body
        self._ring_again(now)

    def answer(self, body: bytes, now: float) -> None:
        """Send 200 until the ACK comes."""
        self._leave()
        call = Call(self._core, self._name, self._dialog, self._path, self._user, made_call_id=False)
        headers = {"Contact": call.contact, "Allow": ALLOW}
        response = self._core.response(self._request, 200, tag=self.local_tag, headers=headers, body=body)
        call.confirm(self._transaction, response, now, initial=True, wants_answer=session_of(self._request) is None)

    def reject(self, status: int, reason: str, headers: Mapping[str, str] | None, now: float) -> None:
        """Send a final refusal."""
        if not 300 <= status <= 699:
            raise ValueError(f"{status} refuses nothing")
        extra = {**reason_header(status, reason), **(headers or {})}
        self._finish(status, extra, now)

    def hang_up(self, reason: str, now: float) -> None:
        self.reject(480, reason, None, now)

    def connection_lost(self, flow: int, now: float) -> None:
        """Whoever called over that connection waits no more."""
        if self._transaction.peer.flow == flow:
            self._give_up("the caller's connection was lost", now)

    # --- what the agent passes on ------------------------------------------------------------------------------------

    def handle_cancel(self, cancel: Request, now: float) -> None:
        self._give_up(reason_of(cancel) or "cancelled by the caller", now)

    def handle_ack(self, ack: Request, now: float) -> None:
        """Nothing of ours is to be acknowledged yet."""

    def handle_request(self, request: Request, transaction: ServerTransaction, now: float) -> None:
        """A request in the early dialog."""
        core = self._core
        if not self._dialog.in_order(request):
            transaction.respond(core.response(request, 500, "CSeq out of order"), now)
        elif request.method == "BYE":
            # Section 15: the caller may end an early dialog that way too.
            transaction.respond(core.response(request, 200), now)
            self._give_up(reason_of(request) or "ended by the caller", now)
        elif request.method == "INFO":
            answer_info(core, self._name, request, transaction, now)
        elif request.method == "UPDATE" and session_of(request) is None:
            transaction.respond(core.response(request, 200, headers={"Contact": self._contact}), now)
        elif request.method in ("INVITE", "UPDATE"):
            # Sections 14.2 and RFC 3311 5.2: one offer at a time.
            transaction.respond(core.response(request, 500, headers=core.retry_after()), now)
        else:
            transaction.respond(core.response(request, 405, headers={"Allow": ALLOW}), now)

    # --- inside ------------------------------------------------------------------------------------------------------

    @property
    def _user(self) -> str:
        target = self._request.target
        return (target.user or "") if isinstance(target, SipUri) else ""

    @property
    def _contact(self) -> str:
        return self._core.contact(self._path.peer, self._user)

    def _ring_again(self, now: float) -> None:
        assert self._ringing is not None
        status, body = self._ringing
        headers = {"Contact": self._contact, "Allow": ALLOW}
        response = self._core.response(self._request, status, tag=self.local_tag, headers=headers, body=body or b"")
        self._transaction.respond(response, now)
        self._ring_timer = self._core.timers.at(now + RING_AGAIN, self._ring_again)

    def _expire(self, now: float) -> None:
        """Section 13.3.1: the INVITE said how long it may take."""
        self._give_up("not answered in the time the caller gave", now)

    def _give_up(self, reason: str, now: float) -> None:
        self._finish(487, {}, now)
        self._core.emit(CallCancelled(self._name, reason))

    def _finish(self, status: int, headers: Mapping[str, str], now: float) -> None:
        response = self._core.response(self._request, status, tag=self.local_tag, headers=headers)
        self._transaction.respond(response, now)
        self._leave()

    def _leave(self) -> None:
        for timer in (self._ring_timer, self._expiry):
            if timer is not None:
                timer.cancel()
        self._core.calls.pop(self._name, None)
        self._core.dialogs.pop(self._dialog.id, None)
