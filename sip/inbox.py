"""Requests as they come in: checked, matched to transactions and dialogs, or made into calls (RFC 3261 section 8.2)."""

from __future__ import annotations

from sip.authenticator import Authenticator
from sip.core import ALLOW, DEFAULT_PORT, METHODS, SDP, Core, RoutingError, further_fields, session_of
from sip.errors import ParseError
from sip.events import IncomingCall
from sip.headers import Via, clean
from sip.message import Request, Response, response_to
from sip.peer import Peer
from sip.registrar import Registrar
from sip.routing import Lookup, Router
from sip.transaction import InviteServer, ServerTransaction
from sip.transactions import TransactionsFullError
from sip.uas import IncomingInvite
from sip.uri import SipUri
from sip.validation import Refusal, validate

BUSY_RETRY_AFTER = "10"
_SERVED = frozenset(METHODS)
_BODIES = (SDP, "multipart/mixed", "multipart/alternative")


class Inbox:
    """The UAS core. ``closing`` makes it refuse new calls with 503."""

    def __init__(
        self, core: Core, registrar: Registrar, authenticator: Authenticator, router: Router, lookup: Lookup
    ) -> None:
        self._core = core
        self._registrar = registrar
        self._authenticator = authenticator
        self._router = router
        self._lookup = lookup
        self.closing = False

    def receive(self, request: Request, source: Peer, now: float) -> None:
        """Handle one parsed request."""
        core, method = self._core, request.method
        reply_to = stamp(request, source)
        if method == "ACK":
            self._receive_ack(request, now)
            return
        try:
            transaction = core.transactions.receive_request(request, reply_to, now)
        except TransactionsFullError:
            self._reply_statelessly(request, 503, None, reply_to)
            return
        if transaction is None:
            return
        if method == "CANCEL":
            self._receive_cancel(request, transaction, now)
            return
        refusal = validate(request, _SERVED, accept=_BODIES)
        if refusal is not None:
            transaction.respond(self._refusal(request, refusal), now)
        elif request.to.tag is not None:
            self._receive_in_dialog(request, transaction, now)
        elif core.transactions.merged(request, transaction):
            transaction.respond(core.response(request, 482), now)
        elif method == "INVITE":
            assert isinstance(transaction, InviteServer)
            self._receive_invite(request, transaction, source, now)
        elif method == "REGISTER":
            response, events = self._registrar.receive(request, source, now, core.token())
            transaction.respond(response, now)
            core.events.extend(events)
        elif method == "OPTIONS":
            self._answer_options(request, transaction, now)
        else:
            transaction.respond(core.response(request, 481), now)

    def receive_broken(self, error: ParseError, source: Peer) -> None:
        """Answer what could be read of a malformed request with 400; one without any Via could not be told the answer
        apart from others, and is dropped."""
        request = error.request
        if request is None or request.method == "ACK" or "Via" not in request.headers:
            return
        try:
            reply_to = stamp(request, source)
        except ParseError:
            # RFC 4475 section 3.1.2.1: the top Via cannot be read, but the sender is known all the same.
            reply_to = source
        self._reply_statelessly(request, 400, error.reason, reply_to)

    # --- by kind -----------------------------------------------------------------------------------------------------

    def _receive_ack(self, ack: Request, now: float) -> None:
        if self._core.transactions.receive_ack(ack, now):
            return
        user = self._core.dialogs.get((ack.call_id, ack.to.tag or "", ack.from_.tag or ""))
        if user is not None:
            user.handle_ack(ack, now)

    def _receive_cancel(self, cancel: Request, transaction: ServerTransaction, now: float) -> None:
        """Section 9.2: the CANCEL itself is answered at once, the INVITE with 487."""
        core = self._core
        invite = core.transactions.invite_to_cancel(cancel)
        if invite is None:
            transaction.respond(core.response(cancel, 481), now)
            return
        user = invite.user
        transaction.respond(core.response(cancel, 200, tag=user.local_tag if user is not None else None), now)
        if user is not None:
            user.handle_cancel(cancel, now)

    def _receive_in_dialog(self, request: Request, transaction: ServerTransaction, now: float) -> None:
        user = self._core.dialogs.get((request.call_id, request.to.tag or "", request.from_.tag or ""))
        if user is None:
            transaction.respond(self._core.response(request, 481), now)
        elif request.method == "OPTIONS":
            self._answer_options(request, transaction, now)
        else:
            user.handle_request(request, transaction, now)

    def _receive_invite(self, request: Request, transaction: InviteServer, source: Peer, now: float) -> None:
        core = self._core
        if self.closing or len(core.calls) >= core.config.max_calls:
            headers = {"Retry-After": BUSY_RETRY_AFTER}
            transaction.respond(core.response(request, 503, headers=headers), now)
            return
        account, challenge = self._identify(request, source, now)
        if challenge is not None:
            transaction.respond(challenge, now)
            return
        name = core.token()
        try:
            IncomingInvite(core, name, request, transaction, now)
        except ParseError as error:
            transaction.respond(core.response(request, 400, error.reason), now)
            return
        except RoutingError as error:
            transaction.respond(core.response(request, 400, f"Contact: {error}"), now)
            return
        core.emit(_incoming_call(name, request, source, account))

    def _answer_options(self, request: Request, transaction: ServerTransaction, now: float) -> None:
        """Section 11.2: the status an INVITE would get now."""
        status = 503 if self.closing else 200
        headers = {"Allow": ALLOW, "Accept": SDP, "Accept-Encoding": "identity", "Accept-Language": "en"}
        transaction.respond(self._core.response(request, status, headers=headers), now)

    def _identify(self, request: Request, source: Peer, now: float) -> tuple[str | None, Response | None]:
        """The account that calls, or the challenge it has to answer first.

        Calling a conference is open to everybody, so only a claim to be one of our accounts is looked into.
        """
        if "Authorization" in request.headers and self._names_us(request):
            verdict = self._authenticator.authenticate(request, source, now, self._core.token())
            if verdict.failure is not None:
                self._core.emit(verdict.failure)
            return verdict.account, verdict.response
        caller = request.from_.uri
        if not isinstance(caller, SipUri) or not caller.user or not self._router.is_ours(caller):
            return None, None
        if self._registrar.known_at(caller.user, source, now):
            return caller.user, None
        if self._core.config.challenge_accounts and self._lookup(caller.user) is not None:
            verdict = self._authenticator.authenticate(request, source, now, self._core.token())
            return verdict.account, verdict.response
        return None, None

    def _names_us(self, request: Request) -> bool:
        return self._authenticator.digest.claimed_user(request.headers.get_all("Authorization")) is not None

    # --- replies -----------------------------------------------------------------------------------------------------

    def _refusal(self, request: Request, refusal: Refusal) -> Response:
        response = self._core.response(request, refusal.status, refusal.reason)
        for name, value in refusal.headers:
            response.headers.add(name, value)
        return response

    def _reply_statelessly(self, request: Request, status: int, reason: str | None, reply_to: Peer) -> None:
        response = response_to(request, status, reason, self._core.token())
        if status == 503:
            response.headers.add("Retry-After", BUSY_RETRY_AFTER)
        self._core.transactions.transmit(response.encode(), reply_to)


def stamp(request: Request, source: Peer) -> Peer:
    """Note in the top Via where the request came from, and tell where the responses go (sections 18.2.1 and 18.2.2,
    RFC 3581). Raises ParseError when a broken request has no usable Via."""
    via = request.via
    params: dict[str, str | None] = {}
    if via.wants_rport:
        params = {"received": source.host, "rport": str(source.port)}
    elif via.host != source.host:
        params = {"received": source.host}
    if params:
        _replace_top_via(request, via.with_params(**params))
    port = via.port or DEFAULT_PORT
    if (source.transport == "udp" and via.wants_rport) or port == source.port:
        return source
    # Over a connection the answer goes back on it; the sent-by port is for when it is gone by then.
    return Peer(source.transport, source.host, port, source.flow)


def _replace_top_via(request: Request, via: Via) -> None:
    rest = request.headers.get_all("Via")[1:]
    request.headers.set("Via", str(via))
    if rest:
        request.headers.remove("Via")
        for value in reversed([str(via), *rest]):
            request.headers.prepend("Via", value)


def _incoming_call(name: str, request: Request, source: Peer, account: str | None) -> IncomingCall:
    target = request.target
    caller = request.from_
    return IncomingCall(
        call=name,
        request_uri=request.uri,
        user=(target.user or "") if isinstance(target, SipUri) else "",
        from_uri=clean(str(caller.uri)),
        from_user=clean(caller.user),
        from_name=clean(caller.display),
        account=account,
        offer=session_of(request),
        source=(source.host, source.port),
        transport=source.transport,
        call_id=request.call_id,
        headers=further_fields(request),
    )
