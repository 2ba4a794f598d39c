"""Who may be heard: modes, mutes, hands and the floor."""

from __future__ import annotations

import itertools

import pytest

from control import modes
from control.modes import Floor, Mode, NotAllowedError, Voice, Why, verdict
from control.participant import Role

CHAIR, GUEST = Role.CHAIR, Role.GUEST


def _wanted(mode: Mode, all_muted: bool, v: Voice) -> Why | None:
    """The rules again, each by itself: which ones hold, and the order they count in."""
    guest = v.role is GUEST
    holding = {
        Why.CHAIR: v.chair_muted,
        Why.SELF: v.self_muted,
        Why.LISTEN_ONLY: v.listen_only,
        Why.LECTURE: guest and mode is Mode.LECTURE,
        Why.ALL_MUTED: guest and all_muted and not v.has_floor,
        Why.QUESTIONS: guest and mode is Mode.QUESTIONS and not v.has_floor,
    }
    return next((why for why, holds in holding.items() if holds), None)


def test_b24_the_priority_of_mutes_modes_and_floor_in_all_combinations() -> None:
    flags = itertools.product([False, True], repeat=4)
    voices = [Voice(role, *four) for role, four in itertools.product(Role, flags)]
    cases = list(itertools.product(Mode, [False, True], voices))
    assert len(cases) == 3 * 2 * 2 * 16
    for mode, all_muted, voice in cases:
        assert verdict(mode, all_muted, voice) == _wanted(mode, all_muted, voice), (mode, all_muted, voice)


@pytest.mark.parametrize(
    ("mode", "all_muted", "voice", "why"),
    [
        (Mode.CONVERSATION, False, Voice(GUEST), None),
        (Mode.QUESTIONS, False, Voice(GUEST), Why.QUESTIONS),
        (Mode.QUESTIONS, False, Voice(GUEST, has_floor=True), None),
        (Mode.QUESTIONS, False, Voice(CHAIR), None),
        (Mode.LECTURE, False, Voice(GUEST, has_floor=True), Why.LECTURE),
        (Mode.LECTURE, True, Voice(CHAIR), None),
        (Mode.CONVERSATION, True, Voice(GUEST), Why.ALL_MUTED),
        (Mode.CONVERSATION, True, Voice(GUEST, has_floor=True), None),
        (Mode.CONVERSATION, False, Voice(GUEST, self_muted=True, chair_muted=True), Why.CHAIR),
        (Mode.QUESTIONS, False, Voice(GUEST, self_muted=True, has_floor=True), Why.SELF),
        (Mode.CONVERSATION, False, Voice(CHAIR, listen_only=True), Why.LISTEN_ONLY),
    ],
)
def test_b24_b15_n2_who_may_be_heard(mode: Mode, all_muted: bool, voice: Voice, why: Why | None) -> None:
    assert verdict(mode, all_muted, voice) == why


def test_n2_ones_own_mute_is_gone_after_coming_back_the_chairs_stays() -> None:
    floor = Floor("c1")
    floor.joined("p1", GUEST, 0)
    floor.mute_self("p1", True, 1)
    assert floor.verdict("p1", GUEST) is Why.SELF
    floor.left("p1", 2)
    floor.joined("p1", GUEST, 3)
    assert floor.verdict("p1", GUEST) is None
    assert floor.verdict("p1", GUEST, chair_muted=True) is Why.CHAIR


def test_n2_a_second_call_before_the_first_is_noticed_gone_is_not_stuck_either() -> None:
    floor = Floor("c1")
    floor.joined("p1", GUEST, 0)
    floor.mute_self("p1", True, 1)
    floor.joined("p1", GUEST, 2)
    assert not floor.is_self_muted("p1")


def test_b25_mute_on_entry_is_ones_own_mute_and_does_not_meet_the_chair() -> None:
    floor = Floor("c1", mute_on_entry=True)
    floor.joined("p1", GUEST, 0)
    floor.joined("chair", CHAIR, 0)
    assert floor.verdict("p1", GUEST) is Why.SELF
    assert floor.verdict("chair", CHAIR) is None
    floor.mute_self("p1", False, 1)
    assert floor.verdict("p1", GUEST) is None
    floor.joined("p1", GUEST, 2)
    assert floor.verdict("p1", GUEST) is Why.SELF


def test_b24_raised_hands_get_the_floor_in_order() -> None:
    floor = Floor("c1", mode=Mode.QUESTIONS)
    assert [floor.raise_hand(p, 0) for p in ("a", "b", "c")] == [1, 2, 3]
    assert floor.raise_hand("b", 1) == 2
    assert (floor.position("c"), floor.position("x")) == (3, None)
    assert floor.give_next(by="chair", now=2) == "a"
    assert (floor.verdict("a", GUEST), floor.verdict("b", GUEST)) == (None, Why.QUESTIONS)
    assert floor.hands == ["b", "c"]
    floor.lower_hand("b", 3)
    assert floor.give_next(by="chair", now=4) == "c"
    assert floor.verdict("a", GUEST) is Why.QUESTIONS
    assert floor.give_next(by="chair", now=5) is None
    assert floor.holder == "c"


def test_b24_the_chair_gives_the_floor_to_anybody_and_takes_it() -> None:
    floor = Floor("c1", mode=Mode.QUESTIONS)
    floor.raise_hand("a", 0)
    floor.give("b", by="chair", now=1)
    floor.give("b", by="chair", now=1)
    assert (floor.holder, floor.hands) == ("b", ["a"])
    assert floor.take(by="chair", now=2)
    assert not floor.take(by="chair", now=2)
    assert floor.verdict("b", GUEST) is Why.QUESTIONS


def test_b24_a_lecture_has_no_floor_and_keeps_the_hands_for_the_questions() -> None:
    floor = Floor("c1", mode=Mode.QUESTIONS)
    floor.give("b", by=None, now=0)
    floor.raise_hand("a", 0)
    floor.set_mode(Mode.LECTURE, by="chair", now=1)
    assert (floor.holder, floor.hands) == (None, ["a"])
    with pytest.raises(NotAllowedError, match="questions first"):
        floor.give("a", by="chair", now=2)
    with pytest.raises(NotAllowedError):
        floor.give_next(by="chair", now=2)
    assert floor.hands == ["a"]
    floor.set_mode(Mode.QUESTIONS, by="chair", now=3)
    assert floor.give_next(by="chair", now=4) == "a"


def test_who_leaves_takes_hand_and_floor_with_him() -> None:
    floor = Floor("c1", mode=Mode.QUESTIONS)
    floor.raise_hand("a", 0)
    floor.give("b", by=None, now=0)
    floor.left("a", 1)
    floor.left("b", 1)
    floor.left("nobody", 1)
    assert (floor.holder, floor.hands) == (None, [])


def test_b24_all_but_the_chair_and_who_has_the_floor_are_muted_and_heard_again() -> None:
    floor = Floor("c1")
    floor.give("a", by=None, now=0)
    floor.mute_all(True, by="chair", now=1)
    assert [floor.verdict(p, r) for p, r in (("a", GUEST), ("b", GUEST), ("c", CHAIR))] == [None, Why.ALL_MUTED, None]
    floor.mute_all(False, by="chair", now=2)
    assert floor.verdict("b", GUEST) is None


def test_b30_each_change_is_one_event_and_no_change_is_none() -> None:
    floor = Floor("c1", mode=Mode.QUESTIONS, mute_on_entry=True)
    for _ in range(2):
        floor.raise_hand("a", 1)
    floor.give_next(by="x", now=2)
    for on in (True, True, False):
        floor.mute_all(on, by="x", now=3)
    floor.joined("b", GUEST, 4)
    for on in (True, False):
        floor.mute_self("b", on, 5)
    for _ in range(2):
        floor.set_mode(Mode.CONVERSATION, by="x", now=6)
    assert floor.take_events() == [
        modes.HandRaised("c1", 1, "a", position=1),
        modes.HandLowered("c1", 2, "a"),
        modes.FloorGiven("c1", 2, "a", by="x"),
        modes.AllMuted("c1", 3, by="x"),
        modes.AllUnmuted("c1", 3, by="x"),
        modes.SelfMuted("c1", 4, "b"),
        modes.SelfUnmuted("c1", 5, "b"),
        modes.FloorTaken("c1", 6, "a", by="x"),
        modes.ModeChanged("c1", 6, mode="conversation", by="x"),
    ]
    assert floor.take_events() == []
