"""A call on its way out: INVITEs to one or several targets until one answers (RFC 3261 sections 8.1.3, 13.2)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sip.attempt import Attempt
from sip.call import Call
from sip.core import ALLOW, SDP, Core, RoutingError, further_fields, session_of
from sip.dialog import Dialog
from sip.events import CallAnswered, CallFailed, CallProgress, FailureKind
from sip.failure import Failure
from sip.headers import NameAddr
from sip.message import Headers, ParseError, Request, Response
from sip.path import Path
from sip.reasons import failure_kind, words
from sip.routing import Destination, Router, caller_of
from sip.uri import SipUri

MAX_REDIRECTS = 8
"""Targets that redirections may add to one call."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What an INVITE of ours says: ``caller`` is the From without a tag, ``to`` the address as dialled."""

    to: str
    caller: NameAddr
    offer: bytes


class OutgoingInvite:
    """Answered, it makes way for a ``Call`` of the same name. All targets given ring at once; those of redirections
    are tried one after the other when nothing else is left."""

    def __init__(self, core: Core, name: str, outgoing: Outgoing, router: Router) -> None:
        self.core = core
        self.name = name
        self.over = False
        self.user = outgoing.caller.user
        self._outgoing = outgoing
        self._router = router
        self._call_id = f"{core.token()}@{core.config.realm}"
        self._tag = core.token()
        self._address: SipUri | None = None
        self.number = core.first_cseq()
        """CSeq of the newest INVITE."""
        self._live: list[Attempt] = []
        self._queue: list[Destination] = []
        self._tried: set[str] = set()
        self._redirects = 0
        self._best: Failure | None = None
        core.calls[name] = self

    def start(self, now: float) -> None:
        """Call wherever the number leads; nowhere is a failure like any other."""
        self._ring_limit = self.core.timers.at(now + self.core.config.ring_seconds, self._not_answered)
        try:
            destinations = self._router.resolve(self._outgoing.to, now)
        except RoutingError as error:
            self._fail(Failure(error.status, str(error), failure_kind(error.status)))
            return
        self._address = destinations[0].to
        self._tried.update(str(destination.uri) for destination in destinations)
        for destination in destinations:
            self._try(destination, now)

    def hang_up(self, reason: str, now: float) -> None:
        """Give up: CANCEL wherever it rings (section 9.1)."""
        self._finish()
        self.core.emit(CallFailed(self.name, FailureKind.CANCELLED, 487, reason or words(FailureKind.CANCELLED)))
        self._cancel_all(487, reason, now)

    # --- what the attempts report ------------------------------------------------------------------------------------

    def progress(self, response: Response) -> None:
        self.core.emit(CallProgress(self.name, response.status, response.reason, session_of(response), self._call_id))

    def answered(self, attempt: Attempt, dialog: Dialog, path: Path, response: Response) -> None:
        """The first 2xx wins; the attempt has acknowledged it."""
        self._finish()
        Call(
            self.core,
            self.name,
            dialog,
            path,
            self.user,
            made_call_id=True,
            credentials=attempt.destination.credentials,
        )
        source = attempt.transaction.source
        address = (source.host, source.port)
        fields = further_fields(response)
        self.core.emit(CallAnswered(self.name, session_of(response), address, fields, source.transport, self._call_id))

    def cancel_others(self, winner: Attempt, now: float) -> None:
        self._live = [attempt for attempt in self._live if attempt is not winner]
        self._cancel_all(200, "Call completed elsewhere", now)

    def redirected(self, attempt: Attempt, response: Response, now: float) -> None:
        """Section 8.1.3.4: follow the contacts not tried yet, the preferred ones first. Where none of them may be
        followed, whoever was called has as good as refused."""
        try:
            contacts = sorted(response.contacts, key=lambda contact: -contact.q)
        except ParseError:
            contacts = []
        refusals = [self._follow(contact.uri, attempt, now) for contact in contacts]
        failure = Failure.of_response(response)
        if refusals and all(refusals):
            failure = replace(failure, reason=refusals[0], kind=FailureKind.REJECTED)
        self.failed(attempt, failure, now)

    def failed(self, attempt: Attempt, failure: Failure, now: float) -> None:
        if attempt in self._live:
            self._live.remove(attempt)
        if self._best is None or failure.rank <= self._best.rank:
            self._best = failure
        if failure.status >= 600:
            # Section 21.6: nobody else is to be asked.
            self._fail(failure)
            self._cancel_all(487, "", now)
        elif not self._live and self._queue:
            self.number += 1
            self._try(self._queue.pop(0), now)
        elif not self._live:
            self._fail(self._best)

    # --- inside ------------------------------------------------------------------------------------------------------

    def _follow(self, contact: SipUri | str, attempt: Attempt, now: float) -> str:
        """Put it on the queue, unless it leads nowhere new; why not, when that is not allowed."""
        try:
            destinations = self._router.redirect(contact, attempt.destination, attempt.transaction.source, now)
        except RoutingError as error:
            return str(error) if error.status == 403 else ""
        for destination in destinations:
            text = str(destination.uri)
            if self._redirects < MAX_REDIRECTS and text not in self._tried:
                self._redirects += 1
                self._tried.add(text)
                self._queue.append(destination)
        return ""

    def _try(self, destination: Destination, now: float) -> None:
        attempt = Attempt(self, destination, self._invite(destination))
        self._live.append(attempt)
        attempt.start(now)

    def _invite(self, destination: Destination) -> Request:
        caller = caller_of(destination, self._outgoing.caller)
        headers = Headers()
        headers.add("Max-Forwards", "70")
        headers.add("From", str(caller.with_params(tag=self._tag)))
        headers.add("To", f"<{self._address}>")
        headers.add("Call-ID", self._call_id)
        headers.add("CSeq", f"{self.number} INVITE")
        headers.add("Contact", self.core.contact(destination.peer, self.user))
        headers.add("Allow", ALLOW)
        headers.add("Accept", SDP)
        headers.add("Content-Type", SDP)
        return Request("INVITE", str(destination.uri), headers, self._outgoing.offer)

    def _not_answered(self, now: float) -> None:
        self._fail(Failure.of_kind(FailureKind.NO_ANSWER, 408))
        self._cancel_all(487, "no answer", now)

    def _fail(self, failure: Failure) -> None:
        self._finish()
        self.core.emit(
            CallFailed(self.name, failure.kind, failure.status, failure.reason, failure.retry_after, self._call_id)
        )

    def _finish(self) -> None:
        self.over = True
        self._queue.clear()
        self._ring_limit.cancel()
        self.core.calls.pop(self.name, None)

    def _cancel_all(self, cause: int, reason: str, now: float) -> None:
        live, self._live = self._live, []
        for attempt in live:
            attempt.cancel(cause, reason, now)
