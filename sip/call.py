"""A call that has been answered: one confirmed INVITE dialog until its BYE (RFC 3261 sections 12.2, 14, 15)."""

from __future__ import annotations

from sip.auth import DigestClient
from sip.confirmation import Confirmation
from sip.core import ALLOW, Core, RoutingError, reason_header, reason_of, session_of
from sip.dialog import Dialog
from sip.events import CallConfirmed, CallEnded, EndKind, InfoReceived, SessionOffered
from sip.message import Request, Response
from sip.path import Path
from sip.proposal import Bye, Proposals
from sip.transaction import InviteServer, ServerTransaction

INFO_TYPES = ("application/dtmf-relay", "application/dtmf")


class Call:
    """Takes the requests of the dialog and makes ours. It is in the core's tables from the start until it is over.

    After ``hang_up`` the user hears CallEnded at once; the dialog stays until the BYE has been answered.
    """

    def __init__(
        self,
        core: Core,
        name: str,
        dialog: Dialog,
        path: Path,
        user: str,
        *,
        made_call_id: bool,
        credentials: DigestClient | None = None,
    ) -> None:
        self.core = core
        self.name = name
        self.dialog = dialog
        self.path = path
        self.user = user
        """The user part of our Contact."""
        self.made_call_id = made_call_id
        self.credentials = credentials
        self.over = False
        self.proposals = Proposals()
        self._confirmation: Confirmation | None = None
        self._offered: tuple[Request, ServerTransaction] | None = None
        self._bye_reason: str | None = None
        core.calls[name] = self
        core.dialogs[dialog.id] = self

    @property
    def local_tag(self) -> str:
        return self.dialog.id[1]

    @property
    def negotiating(self) -> bool:
        """Whether an offer of the far side, or the ACK of our answer, is still open."""
        return self._offered is not None or self._confirmation is not None

    @property
    def contact(self) -> str:
        return self.core.contact(self.path.peer, self.user)

    # --- what its user asks for --------------------------------------------------------------------------------------

    def hang_up(self, reason: str, now: float) -> None:
        """Send BYE; before the ACK of our 2xx it has to wait (section 15)."""
        if not self.over:
            self.end(EndKind.LOCAL, reason, now, bye=True)

    def propose(self, offer: bytes, now: float) -> None:
        """Offer a new session by re-INVITE, as soon as nothing else is under negotiation."""
        self.proposals.propose(self, offer, now)

    def accept_session(self, body: bytes, now: float) -> None:
        """Answer the re-INVITE or UPDATE last reported; ignored when that is gone."""
        if self._offered is None:
            return
        (request, transaction), self._offered = self._offered, None
        self._refresh(request, transaction)
        response = self.core.response(request, 200, headers={"Contact": self.contact, "Allow": ALLOW}, body=body)
        if request.method == "INVITE":
            self.confirm(transaction, response, now, initial=False, wants_answer=session_of(request) is None)
        else:
            transaction.respond(response, now)
        self.proposals.resume(self, now)

    def refuse_session(self, status: int, reason: str, now: float) -> None:
        """Refuse it; the old session goes on."""
        if self._offered is None:
            return
        (request, transaction), self._offered = self._offered, None
        headers = reason_header(status, reason)
        transaction.respond(self.core.response(request, status, headers=headers), now)
        self.proposals.resume(self, now)

    # --- what the agent passes on ------------------------------------------------------------------------------------

    def confirm(
        self, transaction: ServerTransaction, response: Response, now: float, *, initial: bool, wants_answer: bool
    ) -> None:
        """Send our 2xx to an INVITE until it is acknowledged."""
        self._confirmation = Confirmation(
            self.core, transaction, response, self._unconfirmed, now, initial=initial, wants_answer=wants_answer
        )

    def handle_ack(self, ack: Request, now: float) -> None:
        """The ACK for a 2xx of ours; a repeated or foreign one means nothing."""
        confirmation = self._confirmation
        if confirmation is None or ack.cseq.number != confirmation.number:
            return
        confirmation.stop()
        self._confirmation = None
        if self.over:
            self._say_bye(now)
            return
        if confirmation.initial or confirmation.wants_answer:
            answer = session_of(ack) if confirmation.wants_answer else None
            self.core.emit(CallConfirmed(self.name, answer))
        self.proposals.resume(self, now)

    def handle_request(self, request: Request, transaction: ServerTransaction, now: float) -> None:
        if not self.dialog.in_order(request):
            transaction.respond(self.core.response(request, 500, "CSeq out of order"), now)
        elif self.over and request.method != "BYE":
            transaction.respond(self.core.response(request, 481), now)
        elif request.method == "BYE":
            self._receive_bye(request, transaction, now)
        elif request.method == "INVITE":
            self._receive_invite(request, transaction, now)
        elif request.method == "UPDATE":
            self._receive_update(request, transaction, now)
        elif request.method == "INFO":
            answer_info(self.core, self.name, request, transaction, now)
        else:
            transaction.respond(self.core.response(request, 405, headers={"Allow": ALLOW}), now)

    def handle_cancel(self, cancel: Request, now: float) -> None:
        """A re-INVITE was given up: the old session goes on."""
        self.refuse_session(487, reason_of(cancel), now)

    # --- how it ends -------------------------------------------------------------------------------------------------

    def end(self, kind: EndKind, reason: str, now: float, *, bye: bool) -> None:
        """Over for the user; the far side is told by BYE or knows already."""
        self.over = True
        self.proposals.stop()
        self.refuse_session(487, "", now)
        self.core.calls.pop(self.name, None)
        self.core.emit(CallEnded(self.name, kind, reason))
        if not bye:
            self.forget()
            return
        self._bye_reason = reason
        if self._confirmation is None or not self._confirmation.initial:
            self._say_bye(now)

    def forget(self) -> None:
        """The dialog is over on both sides."""
        if self._confirmation is not None:
            self._confirmation.stop()
            self._confirmation = None
        self.core.dialogs.pop(self.dialog.id, None)

    def _say_bye(self, now: float) -> None:
        if self._confirmation is not None:
            self._confirmation.stop()
            self._confirmation = None
        Bye(self.core, self.dialog, self.path.peer, self.credentials, self.forget).send(self._bye_reason or "", now)

    def _unconfirmed(self, now: float) -> None:
        """No ACK within 64*T1: section 13.3.1.4."""
        self._confirmation = None
        if self.over:
            self._say_bye(now)
        else:
            self.end(EndKind.TIMEOUT, "no ACK", now, bye=True)

    # --- requests in the dialog --------------------------------------------------------------------------------------

    def _receive_bye(self, request: Request, transaction: ServerTransaction, now: float) -> None:
        transaction.respond(self.core.response(request, 200), now)
        if self.over:
            self.forget()
        else:
            self.end(EndKind.REMOTE, reason_of(request), now, bye=False)

    def _receive_invite(self, request: Request, transaction: ServerTransaction, now: float) -> None:
        if self._offered is not None:
            transaction.respond(self.core.response(request, 500, headers=self.core.retry_after()), now)
        elif self.proposals.active or self._confirmation is not None:
            transaction.respond(self.core.response(request, 491), now)
        else:
            assert isinstance(transaction, InviteServer)
            transaction.user = self
            self._offered = request, transaction
            self.core.emit(SessionOffered(self.name, session_of(request), "INVITE"))

    def _receive_update(self, request: Request, transaction: ServerTransaction, now: float) -> None:
        """RFC 3311 section 5.2."""
        if session_of(request) is None:
            self._refresh(request, transaction)
            transaction.respond(self.core.response(request, 200, headers={"Contact": self.contact}), now)
        elif self._offered is not None:
            transaction.respond(self.core.response(request, 500, headers=self.core.retry_after()), now)
        elif self.proposals.active or (self._confirmation is not None and self._confirmation.wants_answer):
            transaction.respond(self.core.response(request, 491), now)
        else:
            self._offered = request, transaction
            self.core.emit(SessionOffered(self.name, session_of(request), "UPDATE"))

    def _refresh(self, request: Request, transaction: ServerTransaction) -> None:
        """Take a new remote target, or the old one behind a NAT or connection that changed; one that cannot be reached
        leaves the way as it was."""
        self.dialog.refresh(request)
        try:
            self.path.learn_from(request, transaction.peer)
        except RoutingError:
            return


def answer_info(core: Core, name: str, request: Request, transaction: ServerTransaction, now: float) -> None:
    """INFO: a keypad digit is reported, an empty one is a sign of life, others are refused (RFC 6086 section 4.2.2)."""
    content = (request.headers.get("Content-Type") or "").partition(";")[0].strip().lower()
    if request.body and content not in INFO_TYPES:
        transaction.respond(core.response(request, 415, headers={"Accept": ", ".join(INFO_TYPES)}), now)
        return
    transaction.respond(core.response(request, 200), now)
    if request.body:
        core.emit(InfoReceived(name, content, request.body))
