"""Two user agents in memory: whole calls over a good network and over bad ones, in virtual time."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sip.agent import CallStateError, UserAgent
from sip.attempt import Attempt
from sip.call import Call
from sip.dialog import Dialog
from sip.events import (
    CallAnswered,
    CallConfirmed,
    CallEnded,
    CallFailed,
    EndKind,
    Event,
    IncomingCall,
    SessionAnswered,
    SessionOffered,
)
from sip.path import Path
from sip.peer import Peer
from sip.transaction import Transaction
from sip.uac import OutgoingInvite
from sip.uas import IncomingInvite
from tests.sip.desk import Desk
from tests.sip.network import ANSWER, OFFER, Impairment, Network, Node, make_agent
from tests.sip.torture import MESSAGES


def pair(impairment: Impairment | None = None, seed: int = 1) -> tuple[Network, Node, Node]:
    """Two agents; the second answers every call and every new session."""
    network = Network(impairment, seed)
    caller = network.add(make_agent("192.0.2.1", seed=seed), "192.0.2.1")
    called = network.add(make_agent("192.0.2.2", seed=seed + 1000), "192.0.2.2")

    def react(event: Event) -> None:
        if isinstance(event, IncomingCall):
            called.agent.ring(event.call, network.now)
            called.agent.answer(event.call, ANSWER, network.now)
        elif isinstance(event, SessionOffered):
            called.agent.accept_session(event.call, ANSWER, network.now)

    called.react = react
    return network, caller, called


def call(network: Network, caller: Node) -> str:
    return caller.agent.invite("sip:200@192.0.2.2", OFFER, network.now, from_user="100")


def test_a_call_takes_the_messages_of_rfc_3261s_first_picture() -> None:
    network, caller, called = pair()
    name = call(network, caller)
    network.run(1)
    caller.agent.hang_up(name, network.now)
    network.run(1)
    assert network.methods() == ["INVITE", "180 INVITE", "200 INVITE", "ACK", "BYE", "200 BYE"]
    assert called.of(CallEnded) == [CallEnded(called.of(IncomingCall)[0].call, EndKind.REMOTE, "")]


@pytest.mark.parametrize("seed", range(20))
def test_b35_no_call_fails_at_20_percent_loss_with_reordering_and_duplicates(seed: int) -> None:
    network, caller, called = pair(Impairment(loss=0.2, duplicate=0.1, delay=0.04, jitter=0.2), seed)
    names = [call(network, caller) for _ in range(10)]
    network.run(20)
    assert {event.call for event in caller.of(CallAnswered)} == set(names)
    assert len(called.of(CallConfirmed)) == len(names)
    for name in names:
        caller.agent.modify_session(name, OFFER, network.now)
    network.run(20)
    assert len(caller.of(SessionAnswered)) == len(names)
    for name in names:
        caller.agent.hang_up(name, network.now)
    network.run(20)
    assert len(called.of(CallEnded)) == len(names)
    assert not caller.of(CallFailed)
    network.run(150)
    assert caller.agent.idle
    assert called.agent.idle


@pytest.mark.parametrize("seed", range(5))
def test_a_call_through_a_dead_network_ends_on_both_sides(seed: int) -> None:
    network, caller, called = pair(seed=seed)
    names = [call(network, caller) for _ in range(5)]
    network.run(0.015)
    network.impairment = Impairment(loss=1.0)
    network.run(1)
    for name in names:
        caller.agent.hang_up(name, network.now)
    network.run(150)
    assert len(called.of(CallEnded)) == len(names)
    assert caller.agent.idle
    assert called.agent.idle


def test_when_both_sides_propose_a_session_at_once_both_come_through_in_the_end() -> None:
    network, caller, called = pair()
    name = call(network, caller)
    network.run(1)
    other = called.of(IncomingCall)[0].call

    def accept(event: Event) -> None:
        if isinstance(event, SessionOffered):
            caller.agent.accept_session(event.call, ANSWER, network.now)

    caller.react = accept
    caller.agent.modify_session(name, OFFER, network.now)
    called.agent.modify_session(other, OFFER, network.now)
    network.run(10)
    assert network.methods().count("491 INVITE") == 2
    assert len(caller.of(SessionAnswered)) == len(called.of(SessionAnswered)) == 1
    assert caller.agent.calls == (name,)


def test_nothing_is_left_of_2000_calls_after_their_last_timer() -> None:
    before = call_objects()
    network, caller, called = pair()
    network.keep_log = False
    for number in range(2000):
        name = call(network, caller)
        network.run(0.05)
        if number % 10 == 9:
            called.agent.hang_up(called.of(IncomingCall)[-1].call, network.now)
        else:
            caller.agent.hang_up(name, network.now)
        network.run(0.05)
        caller.events.clear()
        called.events.clear()
    network.run(70)
    for agent in (caller.agent, called.agent):
        assert agent.idle
        assert agent.timer() is None
    assert call_objects() <= before


@contextlib.contextmanager
def no_cycles() -> Iterator[None]:
    """Nothing of ours that is done with within waits for the cycle collector."""
    gc.collect()
    gc.disable()
    try:
        yield
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        found = [type(thing).__name__ for thing in gc.garbage if type(thing).__module__.startswith("sip.")]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert found == []


@pytest.mark.parametrize("fate", ["ended", "ended by the other", "changed", "refused", "cancelled", "not answered"])
def test_a_call_that_is_over_is_freed_at_once_and_not_by_the_cycle_collector(fate: str) -> None:
    network, caller, called = pair()
    network.keep_log = False
    if fate in ("refused", "cancelled", "not answered"):
        called.react = lambda event: (
            called.agent.reject(event.call, 486, "", network.now)
            if fate == "refused" and isinstance(event, IncomingCall)
            else None
        )
    with no_cycles():
        name = call(network, caller)
        network.run(1)
        if fate == "changed":
            caller.agent.modify_session(name, OFFER, network.now)
            network.run(1)
            assert caller.of(SessionAnswered)
        if fate == "ended by the other":
            called.agent.hang_up(called.of(IncomingCall)[0].call, network.now)
        elif fate != "not answered":
            caller.agent.hang_up(name, network.now)
        network.run(200)
        assert caller.agent.idle
        assert called.agent.idle


def call_objects() -> int:
    """How many objects of calls, dialogs and transactions the interpreter holds."""
    gc.collect()
    kinds = (Call, Dialog, Path, Attempt, OutgoingInvite, IncomingInvite, Transaction)
    return sum(isinstance(thing, kinds) for thing in gc.get_objects())


def _feed(agent: UserAgent, data: bytes, peer: Peer) -> None:
    agent.receive(data, peer, 1.0)
    agent.to_send()
    while (event := agent.next_event()) is not None:
        if isinstance(event, IncomingCall):
            agent.answer(event.call, ANSWER, 1.0)


@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_rfc_4475_messages_never_upset_the_agent(name: str) -> None:
    agent = make_agent("192.0.2.1")
    for peer in (Peer("udp", "192.0.2.9", 5060), Peer("tcp", "192.0.2.9", 40000, 3)):
        _feed(agent, MESSAGES[name], peer)
    for now in range(1, 200, 5):
        agent.handle_timer(float(now))
    assert agent.settled


_DESK = Desk()
_PIECES = [
    _DESK.request("INVITE", body=OFFER).encode(),
    _DESK.request("BYE", to_tag="x").encode(),
    _DESK.request("REGISTER").encode(),
    b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\nCall-ID: 1\r\n"
    b"CSeq: 1 INVITE\r\n\r\n",
]


@given(st.sampled_from(_PIECES), st.randoms(use_true_random=False), st.integers(1, 12))
@settings(max_examples=300, deadline=None)
def test_damaged_messages_never_upset_the_agent(message: bytes, rng: Random, damages: int) -> None:
    data = bytearray(message)
    for _ in range(damages):
        at = rng.randrange(len(data))
        what = rng.randrange(3)
        if what == 0:
            data[at] = rng.randrange(256)
        elif what == 1:
            del data[at : at + rng.randrange(8)]
        else:
            data[at:at] = data[at : at + rng.randrange(30)]
        data = data or bytearray(b"x")
    _feed(make_agent("192.0.2.1"), bytes(data), Peer("udp", "192.0.2.9", 5060))


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["INVITE", "ACK", "CANCEL", "BYE", "UPDATE", "INFO", "OPTIONS"]),
            st.integers(1, 4),
            st.booleans(),
            st.booleans(),
            st.integers(0, 5),
        ),
        max_size=25,
    )
)
@settings(max_examples=200, deadline=None)
def test_requests_in_any_order_never_upset_the_agent_nor_stay_with_it(
    steps: list[tuple[str, int, bool, bool, int]],
) -> None:
    desk = Desk()
    for method, number, tagged, with_body, deed in steps:
        tag = next((response.to.tag for response in reversed(desk.responses("INVITE"))), None) if tagged else None
        via = f"SIP/2.0/UDP 192.0.2.50:5060;branch=z9hG4bK{number}"
        body = OFFER if with_body and method in ("INVITE", "ACK", "UPDATE") else b""
        desk.give(desk.request(method, number=number, to_tag=tag, body=body, via=via))
        for event in desk.events:
            if isinstance(event, IncomingCall) and event.call in desk.agent.calls and deed == 0:
                desk.agent.hang_up(event.call, desk.now)
            elif isinstance(event, IncomingCall) and deed == 1:
                answer_if_unanswered(desk, event.call)
            elif isinstance(event, SessionOffered) and deed == 2:
                desk.agent.accept_session(event.call, ANSWER, desk.now)
        if deed == 3:
            for name in desk.agent.calls:
                modify_if_answered(desk, name)
        desk.run(deed * 3.0)
    desk.agent.close(desk.now)
    desk.run(200)
    assert desk.agent.idle
    ended = [event.call for event in desk.events if isinstance(event, CallEnded)]
    assert len(ended) == len(set(ended))


def answer_if_unanswered(desk: Desk, name: str) -> None:
    try:
        desk.agent.answer(name, ANSWER, desk.now)
    except CallStateError:
        assert name in desk.agent.calls


def modify_if_answered(desk: Desk, name: str) -> None:
    try:
        desk.agent.modify_session(name, OFFER, desk.now)
    except CallStateError:
        assert name in desk.agent.calls


def test_the_agent_asks_for_no_timer_when_it_has_nothing_to_wait_for() -> None:
    agent = make_agent("192.0.2.1")
    assert agent.timer() is None
    assert agent.to_send() == []
    assert agent.next_event() is None


def test_every_invite_has_a_branch_tag_and_call_id_of_its_own() -> None:
    desk = Desk()
    for _ in range(50):
        desk.outgoing()
    invites = desk.requests("INVITE")
    names = {name for invite in invites for name in (invite.via.branch, invite.from_.tag, invite.call_id)}
    assert len(names) == 3 * 50
    assert all((invite.via.branch or "").startswith("z9hG4bK") for invite in invites)
