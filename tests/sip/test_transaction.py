"""The four transaction machines, RFC 3261 section 17 and RFC 6026, in virtual time."""

from __future__ import annotations

import itertools

import pytest

from sip.message import Request, Response, parse, response_to
from sip.peer import Peer
from sip.timers import TimerQueue
from sip.transaction import (
    ClientTransaction,
    IllegalTransitionError,
    Input,
    InviteClient,
    InviteServer,
    NonInviteClient,
    NonInviteServer,
    State,
    Transaction,
)
from sip.transactions import Transactions, TransactionsFullError

UDP = Peer("udp", "192.0.2.9", 5060)
TCP = Peer("tcp", "192.0.2.9", 5060, 1)


def make_request(method: str, branch: str = "z9hG4bK1", *, via: str = "", to: str = "<sip:b@h>") -> Request:
    text = (
        f"{method} sip:b@h SIP/2.0\r\nVia: {via or f'SIP/2.0/UDP 192.0.2.1:5060;branch={branch}'}\r\n"
        f"Route: <sip:p.example;lr>\r\nMax-Forwards: 70\r\nFrom: <sip:a@h>;tag=1\r\nTo: {to}\r\n"
        f"Call-ID: c1\r\nCSeq: 7 {method}\r\n\r\n"
    )
    message = parse(text.encode())
    assert isinstance(message, Request)
    return message


class Layer:
    """A transaction layer with a clock; it is its own transactions' user."""

    def __init__(self, limit: int = 100) -> None:
        self.timers = TimerQueue()
        self.layer = Transactions(self.timers, limit)
        self.now = 0.0
        self.sent: list[tuple[float, str]] = []
        self.responses: list[int] = []
        self.failures: list[tuple[float, int]] = []
        self.raw: list[bytes] = []

    def handle_response(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        self.responses.append(response.status)

    def handle_failure(self, transaction: ClientTransaction, status: int, now: float) -> None:
        self.failures.append((now, status))

    def run(self, until: float) -> None:
        self._collect()
        while (at := self.timers.next()) is not None and at <= until:
            self.now = at
            self.timers.run(at)
            self._collect()
        self.now = until

    def request(self, method: str, peer: Peer = UDP) -> ClientTransaction:
        return self.layer.request(make_request(method), peer, self, self.now)

    def answer(self, transaction: ClientTransaction, status: int) -> None:
        self.layer.receive_response(response_to(transaction.request, status, to_tag="2"), UDP, self.now)
        self._collect()

    def receive(self, request: Request, peer: Peer = UDP) -> InviteServer | NonInviteServer | None:
        transaction = self.layer.receive_request(request, peer, self.now)
        self._collect()
        assert transaction is None or isinstance(transaction, InviteServer | NonInviteServer)
        return transaction

    def forgotten(self) -> bool:
        return self.layer.idle

    def times(self, what: str) -> list[float]:
        return [at for at, kind in self.sent if kind == what]

    def _collect(self) -> None:
        while self.layer.output:
            data, _ = self.layer.output.popleft()
            message = parse(data)
            self.raw.append(data)
            self.sent.append((self.now, message.method if isinstance(message, Request) else str(message.status)))


def test_an_invite_over_udp_is_sent_again_at_doubling_intervals_until_it_times_out() -> None:
    layer = Layer()
    layer.request("INVITE")
    layer.run(100)
    assert layer.times("INVITE") == [0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    assert layer.failures == [(32, 408)]
    assert layer.forgotten()


def test_an_invite_over_tcp_is_sent_once_and_still_times_out() -> None:
    layer = Layer()
    layer.request("INVITE", TCP)
    layer.run(100)
    assert layer.times("INVITE") == [0]
    assert layer.failures == [(32, 408)]


def test_a_provisional_response_stops_the_invite_from_being_repeated_or_timing_out() -> None:
    layer = Layer()
    invite = layer.request("INVITE")
    layer.run(0.1)
    layer.answer(invite, 100)
    layer.run(500)
    assert layer.times("INVITE") == [0]
    assert not layer.failures
    assert invite.state is State.PROCEEDING


def test_a_refused_invite_is_acknowledged_once_per_copy_of_the_refusal_for_32_seconds() -> None:
    layer = Layer()
    invite = layer.request("INVITE")
    layer.answer(invite, 486)
    layer.run(10)
    layer.answer(invite, 486)
    assert layer.times("ACK") == [0, 10]
    assert layer.responses == [486]
    layer.run(33)
    assert layer.forgotten()


def test_the_ack_of_a_refusal_copies_the_invite_and_takes_to_from_the_refusal() -> None:
    layer = Layer()
    layer.answer(layer.request("INVITE"), 404)
    assert layer.raw[-1] == (
        b"ACK sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1\r\nRoute: <sip:p.example;lr>\r\n"
        b"Max-Forwards: 70\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>;tag=2\r\nCall-ID: c1\r\nCSeq: 7 ACK\r\n"
        b"Content-Length: 0\r\n\r\n"
    )


def test_over_tcp_a_refused_invite_is_forgotten_at_once() -> None:
    layer = Layer()
    layer.answer(layer.request("INVITE", TCP), 486)
    assert layer.times("ACK") == [0]
    assert layer.forgotten()


def test_every_copy_of_a_2xx_reaches_the_user_for_32_seconds_as_forks_may_answer() -> None:
    layer = Layer()
    invite = layer.request("INVITE")
    layer.answer(invite, 200)
    layer.run(31)
    layer.answer(invite, 200)
    layer.run(33)
    layer.answer(invite, 200)
    assert layer.responses == [200, 200]
    assert layer.forgotten()


def test_an_abandoned_invite_is_forgotten_without_a_word() -> None:
    layer = Layer()
    invite = layer.request("INVITE")
    layer.answer(invite, 180)
    invite.feed(Input.ABANDON, layer.now)
    assert layer.forgotten()
    assert not layer.failures


def test_a_request_other_than_invite_is_repeated_every_4_seconds_at_most_and_fails_after_32() -> None:
    layer = Layer()
    layer.request("BYE")
    layer.run(100)
    assert layer.times("BYE") == [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert layer.failures == [(32, 408)]


def test_after_a_provisional_response_it_is_repeated_every_4_seconds() -> None:
    layer = Layer()
    bye = layer.request("BYE")
    layer.run(0.1)
    layer.answer(bye, 100)
    layer.run(13)
    assert layer.times("BYE") == [0, 0.5, 4.5, 8.5, 12.5]


def test_its_final_response_is_reported_once_and_copies_are_absorbed_for_5_seconds() -> None:
    layer = Layer()
    bye = layer.request("BYE")
    layer.answer(bye, 200)
    layer.run(4)
    layer.answer(bye, 200)
    assert layer.responses == [200]
    assert not layer.forgotten()
    layer.run(6)
    assert layer.forgotten()
    assert layer.times("BYE") == [0]


def test_a_transport_error_fails_the_requests_to_that_address_only() -> None:
    layer = Layer()
    layer.request("INVITE")
    layer.layer.transport_error(Peer("udp", "192.0.2.10", 5060), 1.0)
    assert not layer.failures
    layer.layer.transport_error(UDP, 1.0)
    assert layer.failures == [(1.0, 503)]
    assert layer.forgotten()


def test_a_response_to_no_request_of_ours_is_dropped() -> None:
    layer = Layer()
    assert not layer.layer.receive_response(response_to(make_request("BYE"), 200), UDP, 0.0)


def test_an_invite_not_answered_within_200_ms_gets_100() -> None:
    layer = Layer()
    layer.receive(make_request("INVITE"))
    layer.run(0.19)
    assert not layer.sent
    layer.run(5)
    assert layer.sent == [(0.2, "100")]


def test_an_invite_answered_in_time_gets_no_100() -> None:
    layer = Layer()
    invite = layer.receive(make_request("INVITE"))
    assert invite is not None
    invite.respond(response_to(make_request("INVITE"), 180), 0.1)
    layer.run(5)
    assert [kind for _, kind in layer.sent] == ["180"]


def test_a_repeated_invite_gets_the_last_provisional_response_again() -> None:
    layer = Layer()
    invite = layer.receive(make_request("INVITE"))
    assert invite is not None
    invite.respond(response_to(make_request("INVITE"), 183), 0.0)
    layer.run(0.5)
    assert layer.receive(make_request("INVITE")) is None
    assert layer.times("183") == [0, 0.5]


def test_a_refusal_is_repeated_until_its_ack_which_is_absorbed_for_5_seconds() -> None:
    layer = Layer()
    invite = layer.receive(make_request("INVITE"))
    assert invite is not None
    invite.respond(response_to(make_request("INVITE"), 486, to_tag="2"), 0.0)
    layer.run(4)
    assert layer.times("486") == [0, 0.5, 1.5, 3.5]
    ack = make_request("ACK", to="<sip:b@h>;tag=2")
    assert layer.layer.receive_ack(ack, layer.now)
    assert layer.layer.receive_ack(ack, layer.now)
    layer.run(8.9)
    assert layer.times("486") == [0, 0.5, 1.5, 3.5]
    assert not layer.forgotten()
    layer.run(9.1)
    assert layer.forgotten()


def test_a_refusal_never_acknowledged_is_given_up_after_32_seconds() -> None:
    layer = Layer()
    invite = layer.receive(make_request("INVITE"))
    assert invite is not None
    invite.respond(response_to(make_request("INVITE"), 486), 0.0)
    layer.run(100)
    assert layer.times("486") == [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert layer.forgotten()


def test_after_a_2xx_a_repeated_invite_is_absorbed_and_the_ack_belongs_to_the_dialog() -> None:
    layer = Layer()
    invite = layer.receive(make_request("INVITE"))
    assert invite is not None
    invite.respond(response_to(make_request("INVITE"), 200), 0.0)
    assert layer.receive(make_request("INVITE")) is None
    assert not layer.layer.receive_ack(make_request("ACK"), 1.0)
    layer.run(31)
    assert not layer.forgotten()
    layer.run(33)
    assert layer.forgotten()
    assert layer.times("200") == [0]


def test_a_repeated_request_gets_its_answer_again_for_32_seconds() -> None:
    layer = Layer()
    (bye, again) = (layer.receive(make_request("BYE")) for _ in range(2))
    assert bye is not None
    assert again is None
    bye.respond(response_to(make_request("BYE"), 200), 0.0)
    layer.run(31)
    assert layer.receive(make_request("BYE")) is None
    assert layer.times("200") == [0, 31]
    layer.run(33)
    assert layer.forgotten()


def test_over_tcp_an_answered_request_is_forgotten_at_once() -> None:
    layer = Layer()
    bye = layer.receive(make_request("BYE"), TCP)
    assert bye is not None
    bye.respond(response_to(make_request("BYE"), 200), 0.0)
    assert layer.forgotten()


@pytest.mark.parametrize(
    "other",
    [
        make_request("INVITE", "z9hG4bK2"),
        make_request("INVITE", via="SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bK1"),
        make_request("INVITE", via="SIP/2.0/UDP 192.0.2.1:5062;branch=z9hG4bK1"),
        make_request("OPTIONS"),
    ],
    ids=["branch", "sent-by host", "sent-by port", "method"],
)
def test_requests_that_differ_in_branch_sender_or_method_are_different_transactions(other: Request) -> None:
    layer = Layer()
    layer.receive(make_request("INVITE"))
    assert layer.receive(other) is not None


@pytest.mark.parametrize("branch", ["", ";branch=1", ";branch=z9hG4bK"])
def test_without_the_magic_cookie_or_with_nothing_else_matching_follows_rfc_2543(branch: str) -> None:
    layer, via = Layer(), f"SIP/2.0/UDP 192.0.2.1:5060{branch}"
    (invite, again) = (layer.receive(make_request("INVITE", via=via)) for _ in range(2))
    assert invite is not None
    assert again is None
    invite.respond(response_to(make_request("INVITE", via=via), 486, to_tag="2"), 0.0)
    assert layer.layer.receive_ack(make_request("ACK", via=via, to="<sip:b@h>;tag=2"), 0.0)
    assert layer.receive(make_request("INVITE", via=via + ";x")) is not None
    other = make_request("INVITE", via=via)
    other.headers.set("Call-ID", "c2")
    assert layer.receive(other) is not None


def test_a_cancel_finds_its_invite_by_branch() -> None:
    layer = Layer()
    invite = layer.receive(make_request("INVITE"))
    assert layer.layer.invite_to_cancel(make_request("CANCEL")) is invite
    assert layer.layer.invite_to_cancel(make_request("CANCEL", "z9hG4bK2")) is None


def test_no_more_server_transactions_are_kept_than_allowed() -> None:
    layer = Layer(limit=3)
    for number in range(3):
        layer.receive(make_request("OPTIONS", f"z9hG4bK{number}"))
    with pytest.raises(TransactionsFullError):
        layer.receive(make_request("OPTIONS", "z9hG4bK9"))
    assert layer.receive(make_request("OPTIONS", "z9hG4bK2")) is None


def test_a_final_response_cannot_be_followed_by_another_one() -> None:
    layer = Layer()
    bye = layer.receive(make_request("BYE"))
    assert bye is not None
    bye.respond(response_to(make_request("BYE"), 200), 0.0)
    with pytest.raises(IllegalTransitionError, match="completed"):
        bye.respond(response_to(make_request("BYE"), 500), 0.0)


def _machines() -> list[Transaction]:
    layer = Layer()
    request = make_request("INVITE")
    return [
        InviteClient(layer.layer, "1", request, UDP, layer),
        NonInviteClient(layer.layer, "2", request, UDP, layer),
        InviteServer(layer.layer, "3", request, UDP, 0.0),
        NonInviteServer(layer.layer, "4", UDP),
    ]


@pytest.mark.parametrize("machine", range(4), ids=["invite client", "client", "invite server", "server"])
def test_what_the_table_does_not_list_is_illegal_and_raises(machine: int) -> None:
    transaction = _machines()[machine]
    pairs = set(itertools.product(State, Input)) - set(transaction.table)
    assert len(pairs) > len(transaction.table)
    for state, what in pairs:
        transaction.state = state
        with pytest.raises(IllegalTransitionError):
            transaction.feed(what, 0.0)
        assert transaction.state is state


@pytest.mark.parametrize("machine", range(4), ids=["invite client", "client", "invite server", "server"])
def test_the_network_can_do_nothing_in_a_live_state_that_raises(machine: int) -> None:
    transaction = _machines()[machine]
    live = {state for state, _ in transaction.table}
    if machine < 2:
        foreign = {Input.RECEIVE_PROVISIONAL, Input.RECEIVE_SUCCESS, Input.RECEIVE_FAILURE, Input.TRANSPORT_ERROR}
    else:
        foreign = {Input.RECEIVE_REQUEST, Input.TRANSPORT_ERROR} | ({Input.RECEIVE_ACK} if machine == 2 else set())
    assert set(itertools.product(live, foreign)) <= set(transaction.table)


def test_cancelled_timers_do_not_pile_up() -> None:
    timers = TimerQueue()
    for number in range(10_000):
        timers.at(1000.0 + number, lambda now: None).cancel()
    assert len(timers) == 0
    assert timers.next() is None
    assert len(timers._heap) < 200


def test_among_many_pending_timers_an_eighth_of_cancelled_ones_is_kept_at_most() -> None:
    timers = TimerQueue()
    for number in range(10_000):
        timers.at(2000.0 + number, lambda now: None)
        timers.at(1000.0 + number, lambda now: None).cancel()
    assert len(timers) == 10_000
    assert len(timers._heap) <= 10_000 * 8 / 7 + 64


def test_timers_fire_in_the_order_of_their_deadlines_each_once() -> None:
    timers = TimerQueue()
    fired: list[str] = []
    timers.at(2.0, lambda now: fired.append("b"))
    timers.at(1.0, lambda now: fired.append("a"))
    late = timers.at(3.0, lambda now: fired.append("c"))
    timers.run(2.5)
    assert fired == ["a", "b"]
    assert timers.next() == 3.0
    late.cancel()
    timers.run(10.0)
    assert fired == ["a", "b"]
