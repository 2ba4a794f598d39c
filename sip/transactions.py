"""The transaction layer: matches messages to transactions (RFC 3261 sections 17.1.3, 17.2.3), bounds their number."""

from __future__ import annotations

from collections import deque

from sip.errors import SipError
from sip.message import Request, Response
from sip.peer import Peer
from sip.timers import TimerQueue
from sip.transaction import (
    ClientTransaction,
    ClientUser,
    Input,
    InviteClient,
    InviteServer,
    Key,
    NonInviteClient,
    NonInviteServer,
    ServerTransaction,
    State,
    Transaction,
)

MAGIC_COOKIE = "z9hG4bK"
"""What the branch of an RFC 3261 Via begins with (section 8.1.1.7)."""


class TransactionsFullError(SipError):
    """There are as many transactions as may be; the request is to be refused with 503."""


class Transactions:
    """All transactions of one user agent, and what they want sent.

    ``limit`` bounds the server transactions, which strangers make; our own requests are bounded by our calls.
    """

    def __init__(self, timers: TimerQueue, limit: int) -> None:
        self.timers = timers
        self.limit = limit
        self.output: deque[tuple[bytes, Peer]] = deque()
        self._clients: dict[Key, ClientTransaction] = {}
        self._servers: dict[Key, ServerTransaction] = {}
        self._origins: dict[Key, Key] = {}

    def __len__(self) -> int:
        return len(self._clients) + len(self._servers)

    @property
    def idle(self) -> bool:
        """Whether nothing at all is remembered."""
        return not (self._clients or self._servers or self._origins)

    # --- Port, for the transactions ----------------------------------------------------------------------------------

    def transmit(self, data: bytes, peer: Peer) -> None:
        self.output.append((data, peer))

    def forget(self, transaction: Transaction) -> None:
        if isinstance(transaction, ServerTransaction):
            self._servers.pop(transaction.key, None)
            if transaction.origin is not None:
                self._origins.pop(transaction.origin, None)
        else:
            self._clients.pop(transaction.key, None)

    # --- from the network --------------------------------------------------------------------------------------------

    def receive_request(self, request: Request, reply_to: Peer, now: float) -> ServerTransaction | None:
        """A new transaction for any request but ACK; None when a live one has absorbed a retransmission.

        Raises TransactionsFullError.
        """
        key = _server_key(request, request.method)
        known = self._servers.get(key)
        if known is not None:
            known.feed(Input.RECEIVE_REQUEST, now, request)
            return None
        if len(self._servers) >= self.limit:
            raise TransactionsFullError(f"{self.limit} transactions")
        transaction: ServerTransaction
        if request.method == "INVITE":
            transaction = InviteServer(self, key, request, reply_to, now)
        else:
            transaction = NonInviteServer(self, key, reply_to)
        self._servers[key] = transaction
        return transaction

    def receive_ack(self, ack: Request, now: float) -> bool:
        """True when the ACK was for a refused INVITE; one for a 2xx belongs to its dialog (section 17.1.1.3)."""
        transaction = self._servers.get(_server_key(ack, "INVITE"))
        if transaction is None or transaction.state is State.ACCEPTED:
            return False
        transaction.feed(Input.RECEIVE_ACK, now, ack)
        return True

    def invite_to_cancel(self, cancel: Request) -> InviteServer | None:
        """The INVITE a CANCEL means (section 9.2)."""
        transaction = self._servers.get(_server_key(cancel, "INVITE"))
        return transaction if isinstance(transaction, InviteServer) else None

    def merged(self, request: Request, transaction: ServerTransaction) -> bool:
        """Whether this request, outside any dialog, has come another way already (section 8.2.2.2)."""
        origin = f"{request.from_.tag} {request.call_id} {request.cseq}"
        if self._origins.setdefault(origin, transaction.key) != transaction.key:
            return True
        transaction.origin = origin
        return False

    def receive_response(self, response: Response, source: Peer, now: float) -> bool:
        """False for a stray response, which is dropped."""
        transaction = self._clients.get(f"{response.via.branch} {response.cseq.method}")
        if transaction is None:
            return False
        transaction.receive(response, source, now)
        return True

    def transport_error(self, peer: Peer, now: float) -> None:
        """What was sent to ``peer``, by its address or over its flow, cannot get there (section 18.4)."""
        for transaction in [t for t in self._clients.values() if _reaches(t.peer, peer)]:
            if transaction.state is not State.TERMINATED:
                transaction.feed(Input.TRANSPORT_ERROR, now)

    # --- from the user agent -----------------------------------------------------------------------------------------

    def request(self, request: Request, peer: Peer, user: ClientUser, now: float) -> ClientTransaction:
        """Send a request whose top Via carries a branch of its own."""
        key = f"{request.via.branch} {request.method}"
        kind = InviteClient if request.method == "INVITE" else NonInviteClient
        transaction = kind(self, key, request, peer, user)
        self._clients[key] = transaction
        transaction.start(now)
        return transaction


def _reaches(one: Peer, two: Peer) -> bool:
    if one.flow is not None and one.flow == two.flow:
        return True
    return (one.transport, one.host, one.port) == (two.transport, two.host, two.port)


def _server_key(request: Request, method: str) -> Key:
    via = request.via
    branch = via.branch
    if branch is not None and branch.startswith(MAGIC_COOKIE) and branch != MAGIC_COOKIE:
        return f"{branch} {via.host.lower()} {via.port} {method}"
    # RFC 2543 (section 17.2.3), and a cookie with nothing unique after it (RFC 4475 section 3.2.1): an ACK differs from
    # its INVITE in the To tag, so that takes no part.
    return f"{request.uri} {request.from_.tag} {request.call_id} {request.cseq.number} {via} {method}"
