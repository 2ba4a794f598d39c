"""One INVITE to one target, with whatever comes back: early dialogs, forks, challenges, a CANCEL from us."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sip.call import answer_info
from sip.core import ALLOW, DEFAULT_PORT, reason_header, session_of
from sip.dialog import Dialog
from sip.failure import Failure
from sip.login import Login
from sip.message import Headers, Request, Response
from sip.path import Path
from sip.peer import Peer
from sip.proposal import Bye
from sip.routing import Destination
from sip.timers import TIMEOUT, Timer
from sip.transaction import ClientTransaction, Input, ServerTransaction, State

if TYPE_CHECKING:
    from sip.uac import OutgoingInvite

MAX_FORKS = 20
"""Different phones that may answer one INVITE of ours; more are somebody's bad joke."""


class Attempt:
    """Lives as long as its INVITE transaction, which may be longer than the call: a late 2xx is acknowledged and
    ended (RFC 3261 section 13.2.2.4)."""

    def __init__(self, owner: OutgoingInvite, destination: Destination, invite: Request) -> None:
        self._owner = owner
        self._core = owner.core
        self.destination = destination
        self._invite = invite
        self._login = Login(owner.core, destination.credentials)
        self.transaction: ClientTransaction
        self._early: dict[str, EarlyDialog] = {}
        self._acks: dict[str, tuple[bytes, Peer]] = {}
        self._provisional = False
        self._cancelled: tuple[int, str] | None = None
        self._abandon: Timer | None = None

    def start(self, now: float) -> None:
        self.transaction = self._core.send(self._invite, self.destination.peer, self, now)

    def cancel(self, cause: int, reason: str, now: float) -> None:
        """Section 9.1: CANCEL may only go out once a provisional response has come. ``cause`` 200 tells the phone that
        the call was taken elsewhere, not missed (RFC 3326 section 2)."""
        if self._cancelled is not None:
            return
        self._cancelled = cause, reason
        self._forget_early()
        if self._provisional:
            self._send_cancel(now)

    # --- ClientUser --------------------------------------------------------------------------------------------------

    def handle_response(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        if response.status < 200:
            self._progress(response, now)
        elif response.status < 300:
            self._success(transaction, response, now)
        else:
            self._refusal(transaction, response, now)

    def handle_failure(self, transaction: ClientTransaction, status: int, now: float) -> None:
        self._settle()
        if not self._owner.over:
            self._owner.failed(self, Failure.of_silence(status), now)

    # --- inside ------------------------------------------------------------------------------------------------------

    def _progress(self, response: Response, now: float) -> None:
        first, self._provisional = not self._provisional, True
        if self._cancelled is not None:
            if first:
                self._send_cancel(now)
            return
        tag = response.to.tag
        if response.status == 100 or self._owner.over:
            return
        if tag is not None and tag not in self._early and len(self._early) < MAX_FORKS:
            self._early[tag] = EarlyDialog(self._owner, Dialog.of_client(self.transaction.request, response))
        self._owner.progress(response)

    def _success(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        tag = response.to.tag or ""
        if tag in self._acks:
            self._core.transactions.transmit(*self._acks[tag])
            return
        if len(self._acks) >= MAX_FORKS:
            return
        self._settle()
        dialog = Dialog.of_client(transaction.request, response)
        path = Path(self._core, dialog)
        uri = self.destination.uri
        path.learn_or_trust((uri.host, uri.port or DEFAULT_PORT), transaction.source)
        self._acks[tag] = self._core.send_ack(dialog.ack(transaction.request), path.peer), path.peer
        if self._owner.over:
            # Another fork or the CANCEL was first: this one is answered and ended.
            Bye(self._core, dialog, path.peer, self.destination.credentials, _nothing).send("", now)
            return
        self._owner.answered(self, dialog, path, response)
        self._owner.cancel_others(self, now)

    def _refusal(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        self._settle()
        if self._owner.over:
            return
        again = self._login.answer(transaction.request, response, self._owner.number + 1)
        if again is not None:
            self._owner.number += 1
            self._provisional = False
            self.transaction = self._core.send(again, self.destination.peer, self, now)
        elif response.status < 400:
            self._owner.redirected(self, response, now)
        else:
            self._owner.failed(self, Failure.of_response(response), now)

    def _settle(self) -> None:
        """The INVITE has its final response."""
        self._forget_early()
        if self._abandon is not None:
            self._abandon.cancel()
            self._abandon = None

    def _forget_early(self) -> None:
        for early in self._early.values():
            early.forget()
        self._early.clear()

    def _send_cancel(self, now: float) -> None:
        invite, headers = self.transaction.request, Headers()
        headers.add("Via", str(invite.via))
        for route in invite.headers.get_all("Route"):
            headers.add("Route", route)
        headers.add("Max-Forwards", "70")
        for name in ("From", "To", "Call-ID"):
            headers.add(name, invite.headers.get(name) or "")
        headers.add("CSeq", f"{invite.cseq.number} CANCEL")
        for name, value in reason_header(*(self._cancelled or (487, ""))).items():
            headers.add(name, value)
        cancel = Request("CANCEL", invite.uri, headers)
        self._core.transactions.request(cancel, self.transaction.peer, _Silent(), now)
        self._abandon = self._core.timers.at(now + TIMEOUT, self._give_up)

    def _give_up(self, now: float) -> None:
        """Section 9.1: 64*T1 after the CANCEL the INVITE counts as cancelled, answered or not."""
        self._abandon = None
        if self.transaction.state in (State.CALLING, State.PROCEEDING):
            self.transaction.feed(Input.ABANDON, now)


class EarlyDialog:
    """A dialog made by a provisional response: it takes a few requests until the final one."""

    def __init__(self, owner: OutgoingInvite, dialog: Dialog) -> None:
        self._core = owner.core
        self._name = owner.name
        self._dialog = dialog
        owner.core.dialogs.setdefault(dialog.id, self)

    def forget(self) -> None:
        if self._core.dialogs.get(self._dialog.id) is self:
            del self._core.dialogs[self._dialog.id]

    def handle_ack(self, ack: Request, now: float) -> None:
        """There is nothing to acknowledge."""

    def handle_request(self, request: Request, transaction: ServerTransaction, now: float) -> None:
        core = self._core
        if not self._dialog.in_order(request):
            transaction.respond(core.response(request, 500, "CSeq out of order"), now)
        elif request.method == "INFO":
            answer_info(core, self._name, request, transaction, now)
        elif request.method == "UPDATE" and session_of(request) is None:
            self._dialog.refresh(request)
            contact = core.contact(transaction.peer, "")
            transaction.respond(core.response(request, 200, headers={"Contact": contact}), now)
        elif request.method in ("INVITE", "UPDATE"):
            # Our own offer is still open (RFC 3311 section 5.2).
            transaction.respond(core.response(request, 491), now)
        elif request.method == "BYE":
            # Only callers may end an early dialog that way (section 15).
            transaction.respond(core.response(request, 481), now)
        else:
            transaction.respond(core.response(request, 405, headers={"Allow": ALLOW}), now)


class _Silent:
    """Nobody waits for the answer to a CANCEL: the INVITE's own final response tells."""

    def handle_response(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        pass

    def handle_failure(self, transaction: ClientTransaction, status: int, now: float) -> None:
        pass


def _nothing() -> None:
    """Nobody waits for the BYE of a call that never was."""
