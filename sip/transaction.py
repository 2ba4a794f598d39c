"""The four transaction machines of RFC 3261 section 17, with the Accepted state of RFC 6026.

Each machine is a table (state, input) -> step. What the network may do in a state is in the table even where it is
ignored; everything else is a mistake of ours and raises ``IllegalTransitionError``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, ClassVar, Protocol

from sip.errors import SipError
from sip.message import Headers, Request, Response, response_to
from sip.peer import Peer
from sip.timers import T1, T2, T4, TIMEOUT, Timer, TimerQueue

TRYING_DELAY = 0.2
"""A 100 goes out when the user has not answered an INVITE for so long (section 17.2.1)."""


class State(StrEnum):
    CALLING = "calling"
    TRYING = "trying"
    PROCEEDING = "proceeding"
    ACCEPTED = "accepted"
    COMPLETED = "completed"
    CONFIRMED = "confirmed"
    TERMINATED = "terminated"


class Input(StrEnum):
    """What may happen to a transaction: a message from the network, one from its user, or a timer."""

    RECEIVE_PROVISIONAL = "1xx received"
    RECEIVE_SUCCESS = "2xx received"
    RECEIVE_FAILURE = "3xx-6xx received"
    RECEIVE_REQUEST = "request received again"
    RECEIVE_ACK = "ACK received"
    SEND_PROVISIONAL = "1xx to send"
    SEND_SUCCESS = "2xx to send"
    SEND_FAILURE = "3xx-6xx to send"
    ABANDON = "abandoned"
    TRANSPORT_ERROR = "transport error"
    RETRANSMIT = "timer A, E or G"
    TIMEOUT = "timer B or F"
    END = "timer D, H, I, J, K, L or M"
    TRYING = "100 due"


Key = str
"""What a transaction is found by: one string, as thousands of them stand by."""

S, I = State, Input  # noqa: E741 - the tables below read as in the RFC's figures


class IllegalTransitionError(SipError):
    """A transaction's user asked for what the state does not allow."""


class Port(Protocol):
    """What a transaction needs from the layer that holds it."""

    timers: TimerQueue

    def transmit(self, data: bytes, peer: Peer) -> None: ...

    def forget(self, transaction: Transaction) -> None:
        """The transaction has terminated."""


class InviteUser(Protocol):
    """Who answers an INVITE."""

    @property
    def local_tag(self) -> str:
        """The To tag of its responses."""

    def handle_cancel(self, cancel: Request, now: float) -> None:
        """The INVITE is to be refused with 487 (section 9.2). Called only before the final response."""


class ClientUser(Protocol):
    """Who sent the request (the TU of section 17)."""

    def handle_response(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        """A response that is not a retransmission; every 2xx to an INVITE (RFC 6026 section 7.2)."""

    def handle_failure(self, transaction: ClientTransaction, status: int, now: float) -> None:
        """No final response came: 408 after a timeout, 503 for a transport error (section 8.1.3.1)."""


Step = Callable[[Any, float, Any], None]
Table = Mapping[tuple[State, Input], Step]


def _ignore(_transaction: Transaction, _now: float, _message: object) -> None:
    """Absorbed by the machine."""


class Transaction:
    """What the four machines share."""

    __slots__ = ("_end", "_interval", "_port", "_repeat", "key", "peer", "state")

    table: ClassVar[Table]

    def __init__(self, port: Port, key: Key, peer: Peer, state: State) -> None:
        self._port = port
        self._repeat: Timer | None = None
        self._end: Timer | None = None
        self._interval = T1
        self.key = key
        self.peer = peer
        self.state = state

    def feed(self, what: Input, now: float, message: Request | Response | None = None) -> None:
        """Let one thing happen. Raises IllegalTransitionError when the table has no place for it."""
        step = self.table.get((self.state, what))
        if step is None:
            raise IllegalTransitionError(f"{type(self).__name__} in state {self.state}: {what}")
        step(self, now, message)

    def _repeat_in(self, seconds: float, now: float) -> None:
        self._repeat = self._port.timers.at(now + seconds, self._on_repeat)

    def _end_in(self, seconds: float, now: float) -> None:
        if self._end is not None:
            self._end.cancel()
        self._end = self._port.timers.at(now + seconds, self._on_end)

    def _stop_repeating(self) -> None:
        if self._repeat is not None:
            self._repeat.cancel()
            self._repeat = None

    def _on_repeat(self, now: float) -> None:
        self.feed(Input.RETRANSMIT, now)

    def _on_end(self, now: float) -> None:
        waiting = (State.CALLING, State.TRYING, State.PROCEEDING)
        self.feed(Input.TIMEOUT if self.state in waiting else Input.END, now)

    def _terminate(self, now: float = 0.0, message: object = None) -> None:
        self.state = State.TERMINATED
        self._stop_repeating()
        if self._end is not None:
            self._end.cancel()
            self._end = None
        self._port.forget(self)


def _kind_of(status: int) -> Input:
    if status < 200:
        return Input.RECEIVE_PROVISIONAL
    return Input.RECEIVE_SUCCESS if status < 300 else Input.RECEIVE_FAILURE


class ClientTransaction(Transaction):
    """The side that sent the request (section 17.1)."""

    __slots__ = ("_data", "request", "source", "user")

    def __init__(self, port: Port, key: Key, request: Request, peer: Peer, user: ClientUser, state: State) -> None:
        super().__init__(port, key, peer, state)
        self.request = request
        self.user = user
        self.source = peer
        """Where the latest response came from."""
        self._data = request.encode()

    def start(self, now: float) -> None:
        """Send the request for the first time. Timers A/E only where the transport may lose it."""
        if not self.peer.reliable:
            self._repeat_in(T1, now)
        self._end_in(TIMEOUT, now)
        self._send()

    def receive(self, response: Response, source: Peer, now: float) -> None:
        self.source = source
        self.feed(_kind_of(response.status), now, response)

    def _send(self) -> None:
        self._port.transmit(self._data, self.peer)

    def _pass_up(self, now: float, response: Response) -> None:
        self.user.handle_response(self, response, now)

    def _finish(self, response: Response, linger: float, now: float) -> None:
        """The final response: copies of it may come for so long, but not where the transport makes none."""
        user = self.user
        if self.peer.reliable:
            self._terminate()
        else:
            self._end_in(linger, now)
        user.handle_response(self, response, now)

    def _time_out(self, now: float, _message: object) -> None:
        self._fail(408, now)

    def _break(self, now: float, _message: object) -> None:
        self._fail(503, now)

    def _fail(self, status: int, now: float) -> None:
        user = self.user
        self._terminate()
        user.handle_failure(self, status, now)

    def _terminate(self, now: float = 0.0, message: object = None) -> None:
        super()._terminate(now, message)
        # The user may keep the transaction, and a cycle of thousands of calls waits long to be collected.
        del self.user


class InviteClient(ClientTransaction):
    """Section 17.1.1 and RFC 6026 section 7.2: timers A, B, D and M."""

    __slots__ = ("_ack",)

    def __init__(self, port: Port, key: Key, request: Request, peer: Peer, user: ClientUser) -> None:
        super().__init__(port, key, request, peer, user, State.CALLING)
        self._ack = b""

    def _resend(self, now: float, _message: object) -> None:
        self._send()
        self._interval *= 2
        self._repeat_in(self._interval, now)

    def _proceed(self, now: float, response: Response) -> None:
        self.state = State.PROCEEDING
        self._stop_repeating()
        if self._end is not None:
            self._end.cancel()
        self._pass_up(now, response)

    def _accept(self, now: float, response: Response) -> None:
        self.state = State.ACCEPTED
        self._stop_repeating()
        self._end_in(TIMEOUT, now)
        self._pass_up(now, response)

    def _complete(self, now: float, response: Response) -> None:
        self.state = State.COMPLETED
        self._stop_repeating()
        self._ack = self._acknowledgement(response).encode()
        self._port.transmit(self._ack, self.peer)
        self._finish(response, TIMEOUT, now)

    def _resend_ack(self, _now: float, _message: object) -> None:
        self._port.transmit(self._ack, self.peer)

    def _acknowledgement(self, response: Response) -> Request:
        """Section 17.1.1.3: the INVITE's Request-URI, top Via, From, Call-ID, Route; To of the response."""
        invite, headers = self.request, Headers()
        headers.add("Via", str(invite.via))
        for route in invite.headers.get_all("Route"):
            headers.add("Route", route)
        headers.add("Max-Forwards", "70")
        headers.add("From", invite.headers.get("From") or "")
        headers.add("To", response.headers.get("To") or "")
        headers.add("Call-ID", invite.call_id)
        headers.add("CSeq", f"{invite.cseq.number} ACK")
        return Request("ACK", invite.uri, headers, b"")

    table: ClassVar[Table] = {
        (S.CALLING, I.RETRANSMIT): _resend,
        (S.CALLING, I.TIMEOUT): ClientTransaction._time_out,
        (S.CALLING, I.TRANSPORT_ERROR): ClientTransaction._break,
        (S.CALLING, I.ABANDON): ClientTransaction._terminate,
        (S.CALLING, I.RECEIVE_PROVISIONAL): _proceed,
        (S.CALLING, I.RECEIVE_SUCCESS): _accept,
        (S.CALLING, I.RECEIVE_FAILURE): _complete,
        (S.PROCEEDING, I.RECEIVE_PROVISIONAL): ClientTransaction._pass_up,
        (S.PROCEEDING, I.RECEIVE_SUCCESS): _accept,
        (S.PROCEEDING, I.RECEIVE_FAILURE): _complete,
        (S.PROCEEDING, I.ABANDON): ClientTransaction._terminate,
        # Nothing is being sent: the far side may still answer over a new connection (section 18.2.2).
        (S.PROCEEDING, I.TRANSPORT_ERROR): _ignore,
        (S.ACCEPTED, I.RECEIVE_PROVISIONAL): _ignore,
        (S.ACCEPTED, I.RECEIVE_SUCCESS): ClientTransaction._pass_up,
        (S.ACCEPTED, I.RECEIVE_FAILURE): _ignore,
        (S.ACCEPTED, I.TRANSPORT_ERROR): _ignore,
        (S.ACCEPTED, I.END): ClientTransaction._terminate,
        (S.COMPLETED, I.RECEIVE_PROVISIONAL): _ignore,
        (S.COMPLETED, I.RECEIVE_SUCCESS): _ignore,
        (S.COMPLETED, I.RECEIVE_FAILURE): _resend_ack,
        (S.COMPLETED, I.TRANSPORT_ERROR): ClientTransaction._terminate,
        (S.COMPLETED, I.END): ClientTransaction._terminate,
    }


class NonInviteClient(ClientTransaction):
    """Section 17.1.2: timers E, F and K."""

    __slots__ = ()

    def __init__(self, port: Port, key: Key, request: Request, peer: Peer, user: ClientUser) -> None:
        super().__init__(port, key, request, peer, user, State.TRYING)

    def _resend(self, now: float, _message: object) -> None:
        self._send()
        self._interval = T2 if self.state is State.PROCEEDING else min(self._interval * 2, T2)
        self._repeat_in(self._interval, now)

    def _proceed(self, now: float, response: Response) -> None:
        self.state = State.PROCEEDING
        self._pass_up(now, response)

    def _complete(self, now: float, response: Response) -> None:
        self.state = State.COMPLETED
        self._stop_repeating()
        self._finish(response, T4, now)

    table: ClassVar[Table] = {
        (S.TRYING, I.RETRANSMIT): _resend,
        (S.TRYING, I.TIMEOUT): ClientTransaction._time_out,
        (S.TRYING, I.TRANSPORT_ERROR): ClientTransaction._break,
        (S.TRYING, I.RECEIVE_PROVISIONAL): _proceed,
        (S.TRYING, I.RECEIVE_SUCCESS): _complete,
        (S.TRYING, I.RECEIVE_FAILURE): _complete,
        (S.PROCEEDING, I.RETRANSMIT): _resend,
        (S.PROCEEDING, I.TIMEOUT): ClientTransaction._time_out,
        (S.PROCEEDING, I.TRANSPORT_ERROR): ClientTransaction._break,
        (S.PROCEEDING, I.RECEIVE_PROVISIONAL): ClientTransaction._pass_up,
        (S.PROCEEDING, I.RECEIVE_SUCCESS): _complete,
        (S.PROCEEDING, I.RECEIVE_FAILURE): _complete,
        (S.COMPLETED, I.RECEIVE_PROVISIONAL): _ignore,
        (S.COMPLETED, I.RECEIVE_SUCCESS): _ignore,
        (S.COMPLETED, I.RECEIVE_FAILURE): _ignore,
        (S.COMPLETED, I.TRANSPORT_ERROR): _ignore,
        (S.COMPLETED, I.END): ClientTransaction._terminate,
    }


class ServerTransaction(Transaction):
    """The side that answers (section 17.2). The request itself is its user's to keep: thousands of these stand by."""

    __slots__ = ("_last", "origin")

    def __init__(self, port: Port, key: Key, peer: Peer, state: State) -> None:
        super().__init__(port, key, peer, state)
        self._last = b""
        self.origin: Key | None = None
        """What the layer knows a request outside dialogs by, whichever way it comes (section 8.2.2.2)."""

    @property
    def answered(self) -> bool:
        """Whether a final response has been sent."""
        return self.state not in (State.TRYING, State.PROCEEDING)

    def respond(self, response: Response, now: float) -> None:
        """Send a response. Raises IllegalTransitionError after the final one (a 2xx to INVITE may be repeated)."""
        if response.status < 200:
            what = Input.SEND_PROVISIONAL
        else:
            what = Input.SEND_SUCCESS if response.status < 300 else Input.SEND_FAILURE
        self.feed(what, now, response)

    def _send(self, response: Response) -> None:
        self._last = response.encode()
        self._port.transmit(self._last, self.peer)

    def _send_provisional(self, _now: float, response: Response) -> None:
        self.state = State.PROCEEDING
        self._send(response)

    def _send_again(self, _now: float, _message: object) -> None:
        if self._last:
            self._port.transmit(self._last, self.peer)


class InviteServer(ServerTransaction):
    """Section 17.2.1 and RFC 6026 section 7.1: timers G, H, I and L. The user retransmits its 2xx itself."""

    __slots__ = ("_invite", "user")

    def __init__(self, port: Port, key: Key, request: Request, peer: Peer, now: float) -> None:
        super().__init__(port, key, peer, State.PROCEEDING)
        self._invite: Request | None = request
        self.user: InviteUser | None = None
        """Whom a CANCEL concerns; None once the final response is out."""
        self._repeat = port.timers.at(now + TRYING_DELAY, self._on_trying)

    def _send(self, response: Response) -> None:
        self._invite = None
        super()._send(response)

    def _on_trying(self, now: float) -> None:
        self.feed(Input.TRYING, now)

    def _say_trying(self, _now: float, _message: object) -> None:
        if self._invite is not None:
            self._send(response_to(self._invite, 100))

    def _accept(self, now: float, response: Response) -> None:
        self.state = State.ACCEPTED
        self.user = None
        self._stop_repeating()
        self._end_in(TIMEOUT, now)
        self._send_success(now, response)

    def _refuse(self, now: float, response: Response) -> None:
        self.state = State.COMPLETED
        self.user = None
        self._stop_repeating()
        if not self.peer.reliable:
            self._repeat_in(T1, now)
        self._end_in(TIMEOUT, now)
        self._send(response)

    def _repeat_refusal(self, now: float, _message: object) -> None:
        self._port.transmit(self._last, self.peer)
        self._interval = min(self._interval * 2, T2)
        self._repeat_in(self._interval, now)

    def _confirm(self, now: float, _message: object) -> None:
        self.state = State.CONFIRMED
        self._stop_repeating()
        if self.peer.reliable:
            self._terminate()
        else:
            self._end_in(T4, now)

    def _send_success(self, _now: float, response: Response) -> None:
        # Not kept: the machine absorbs further INVITEs, and thousands of these stand for 32 s.
        self._invite = None
        self._last = b""
        self._port.transmit(response.encode(), self.peer)

    table: ClassVar[Table] = {
        (S.PROCEEDING, I.TRYING): _say_trying,
        (S.PROCEEDING, I.RECEIVE_REQUEST): ServerTransaction._send_again,
        (S.PROCEEDING, I.SEND_PROVISIONAL): ServerTransaction._send_provisional,
        (S.PROCEEDING, I.SEND_SUCCESS): _accept,
        (S.PROCEEDING, I.SEND_FAILURE): _refuse,
        (S.PROCEEDING, I.RECEIVE_ACK): _ignore,
        (S.PROCEEDING, I.TRANSPORT_ERROR): _ignore,
        (S.ACCEPTED, I.RECEIVE_REQUEST): _ignore,
        (S.ACCEPTED, I.RECEIVE_ACK): _ignore,
        (S.ACCEPTED, I.SEND_SUCCESS): _send_success,
        (S.ACCEPTED, I.TRANSPORT_ERROR): _ignore,
        (S.ACCEPTED, I.END): Transaction._terminate,
        (S.COMPLETED, I.RECEIVE_REQUEST): ServerTransaction._send_again,
        (S.COMPLETED, I.RECEIVE_ACK): _confirm,
        (S.COMPLETED, I.RETRANSMIT): _repeat_refusal,
        (S.COMPLETED, I.TRANSPORT_ERROR): Transaction._terminate,
        (S.COMPLETED, I.END): Transaction._terminate,
        (S.CONFIRMED, I.RECEIVE_REQUEST): _ignore,
        (S.CONFIRMED, I.RECEIVE_ACK): _ignore,
        (S.CONFIRMED, I.TRANSPORT_ERROR): _ignore,
        (S.CONFIRMED, I.END): Transaction._terminate,
    }


class NonInviteServer(ServerTransaction):
    """Section 17.2.2: timer J."""

    __slots__ = ()

    def __init__(self, port: Port, key: Key, peer: Peer) -> None:
        super().__init__(port, key, peer, State.TRYING)

    def _complete(self, now: float, response: Response) -> None:
        self.state = State.COMPLETED
        self._send(response)
        if self.peer.reliable:
            self._terminate()
        else:
            self._end_in(TIMEOUT, now)

    table: ClassVar[Table] = {
        (S.TRYING, I.RECEIVE_REQUEST): _ignore,
        (S.TRYING, I.SEND_PROVISIONAL): ServerTransaction._send_provisional,
        (S.TRYING, I.SEND_SUCCESS): _complete,
        (S.TRYING, I.SEND_FAILURE): _complete,
        (S.TRYING, I.TRANSPORT_ERROR): _ignore,
        (S.PROCEEDING, I.RECEIVE_REQUEST): ServerTransaction._send_again,
        (S.PROCEEDING, I.SEND_PROVISIONAL): ServerTransaction._send_provisional,
        (S.PROCEEDING, I.SEND_SUCCESS): _complete,
        (S.PROCEEDING, I.SEND_FAILURE): _complete,
        (S.PROCEEDING, I.TRANSPORT_ERROR): _ignore,
        (S.COMPLETED, I.RECEIVE_REQUEST): ServerTransaction._send_again,
        (S.COMPLETED, I.TRANSPORT_ERROR): Transaction._terminate,
        (S.COMPLETED, I.END): Transaction._terminate,
    }
