"""Our own requests in a confirmed dialog: re-INVITE with glare (RFC 3261 section 14.1), and BYE."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

from sip.auth import DigestClient
from sip.core import ALLOW, SDP, Core, RoutingError, reason_header, session_of
from sip.dialog import Dialog
from sip.events import EndKind, SessionAnswered, SessionRefused
from sip.login import Login
from sip.message import Response
from sip.peer import Peer
from sip.timers import Timer
from sip.transaction import ClientTransaction

if TYPE_CHECKING:
    from sip.call import Call


class Proposals:
    """The sessions we offer in one call, one after the other: a newer offer replaces one not sent yet.

    The call, whose part this is, is named each time: kept here it would be a cycle that waits for the collector.
    """

    def __init__(self) -> None:
        self._waiting: bytes | None = None
        self._retry: Timer | None = None
        self.active: Proposal | None = None

    def propose(self, call: Call, offer: bytes, now: float) -> None:
        self._waiting = offer
        self.resume(call, now)

    def resume(self, call: Call, now: float) -> None:
        """Send what waits, if nothing stands in its way."""
        if self._waiting is None or self.active is not None or self._retry is not None or call.negotiating:
            return
        offer, self._waiting = self._waiting, None
        self.active = Proposal(call, self, offer)
        self.active.send(now)

    def stop(self) -> None:
        self._waiting = self.active = None
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None

    def answered(self, call: Call, answer: bytes | None, now: float) -> None:
        self.active = None
        call.core.emit(SessionAnswered(call.name, answer))
        self.resume(call, now)

    def refused(self, call: Call, status: int, reason: str, now: float) -> None:
        self.active = None
        call.core.emit(SessionRefused(call.name, status, reason))
        self.resume(call, now)

    def collided(self, call: Call, offer: bytes, now: float) -> None:
        """491: both sides offered at once. Who made the Call-ID waits longer, so that one of the two goes first."""
        self.active = None
        if self._waiting is None:
            self._waiting = offer
        rng = call.core.rng
        delay = rng.randrange(210, 401) / 100 if call.made_call_id else rng.randrange(0, 201) / 100
        self._retry = call.core.timers.at(now + delay, functools.partial(self._try_again, call))

    def _try_again(self, call: Call, now: float) -> None:
        self._retry = None
        self.resume(call, now)


class Proposal:
    """One re-INVITE of ours."""

    def __init__(self, call: Call, proposals: Proposals, offer: bytes) -> None:
        self._call = call
        self._proposals = proposals
        self._offer = offer
        self._login = Login(call.core, call.credentials)
        self._ack: tuple[bytes, Peer] | None = None

    def send(self, now: float) -> None:
        call = self._call
        request = call.dialog.request("INVITE")
        request.headers.add("Contact", call.contact)
        request.headers.add("Allow", ALLOW)
        request.headers.add("Content-Type", SDP)
        request.body = self._offer
        call.core.send(request, call.path.peer, self, now)

    def handle_response(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        call = self._call
        if response.status < 200:
            return
        if response.status < 300:
            self._accepted(transaction, response, now)
        elif call.over:
            return
        elif (again := self._login.answer(transaction.request, response, call.dialog.local_seq + 1)) is not None:
            call.dialog.local_seq += 1
            call.core.send(again, call.path.peer, self, now)
        elif response.status == 491:
            self._proposals.collided(call, self._offer, now)
        elif response.status in (408, 481):
            call.end(EndKind.TIMEOUT, f"{response.status} {response.reason}", now, bye=response.status == 408)
        else:
            self._proposals.refused(call, response.status, response.reason, now)

    def handle_failure(self, transaction: ClientTransaction, status: int, now: float) -> None:
        """Section 14.1: no response at all ends the dialog."""
        if not self._call.over:
            kind = EndKind.TIMEOUT if status == 408 else EndKind.TRANSPORT
            self._call.end(kind, "no answer to a re-INVITE", now, bye=True)

    def _accepted(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        call = self._call
        if self._ack is not None:
            call.core.transactions.transmit(*self._ack)
            return
        if call.dialog.refresh(response):
            try:
                call.path.update()
            except RoutingError:
                call.end(EndKind.TRANSPORT, "the far side moved out of reach", now, bye=True)
        peer = call.path.peer
        self._ack = call.core.send_ack(call.dialog.ack(transaction.request), peer), peer
        if not call.over:
            self._proposals.answered(call, session_of(response), now)


class Bye:
    """One BYE: ``done`` is called when it was answered or nobody will."""

    def __init__(
        self, core: Core, dialog: Dialog, peer: Peer, credentials: DigestClient | None, done: Callable[[], None]
    ) -> None:
        self._core = core
        self._dialog = dialog
        self._peer = peer
        self._login = Login(core, credentials)
        self._done = done

    def send(self, reason: str, now: float) -> None:
        request = self._dialog.request("BYE")
        for name, value in reason_header(200, reason).items():
            request.headers.add(name, value)
        self._core.send(request, self._peer, self, now)

    def handle_response(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        if response.status < 200:
            return
        again = self._login.answer(transaction.request, response, self._dialog.local_seq + 1)
        if again is None:
            self._done()
            return
        self._dialog.local_seq += 1
        self._core.send(again, self._peer, self, now)

    def handle_failure(self, transaction: ClientTransaction, status: int, now: float) -> None:
        self._done()
