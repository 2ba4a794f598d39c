"""Guessing PINs is slowed down and stopped, and the audit hears of it."""

from __future__ import annotations

from control.guide.throttle import (
    MAX_KEYS,
    CallerBlocked,
    ConferenceGuarded,
    Limits,
    Throttle,
    Tries,
    WrongPinTried,
)

LIMITS = Limits()
ANN = Tries("375291111111", "375291111111")


def _stranger(number: int) -> Tries:
    return Tries(("192.0.2.1", number), str(number))


def test_each_wrong_pin_of_a_caller_makes_the_answer_come_later() -> None:
    throttle = Throttle(Limits(caller=20))
    delays = [throttle.wrong_pin(ANN, "c1", 0.0) for _ in range(6)]
    assert delays == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0]


def test_at_a_conference_that_many_guess_at_the_delay_grows_for_everybody() -> None:
    throttle = Throttle()
    delays = [throttle.wrong_pin(_stranger(n), "c1", 0.0) for n in range(12)]
    assert delays[:7] == [0.5] * 7
    assert delays[7:] == [1.0, 2.0, 4.0, 8.0, 8.0]
    assert throttle.wrong_pin(_stranger(99), "c2", 0.0) == 0.5


def test_a_caller_with_too_many_wrong_ones_is_blocked_for_the_window_whatever_he_calls() -> None:
    throttle = Throttle()
    for n in range(LIMITS.caller):
        assert throttle.blocked(ANN, None, 10.0) == 0
        throttle.wrong_pin(ANN, f"c{n}", 10.0)
    assert throttle.blocked(ANN, None, 110.0) == LIMITS.window_seconds - 100
    assert throttle.blocked(ANN, "c9", 110.0) == LIMITS.window_seconds - 100
    assert throttle.blocked(_stranger(1), "c1", 110.0) == 0
    assert throttle.blocked(ANN, None, 10 + LIMITS.window_seconds) == 0


def test_wrong_numbers_count_too_since_they_may_be_guesses_at_personal_pins() -> None:
    throttle = Throttle()
    delays = [throttle.wrong_number(ANN, 0.0) for _ in range(LIMITS.caller)]
    assert delays[:3] == [0.5, 1.0, 2.0]
    assert throttle.blocked(ANN, None, 1.0) > 0
    assert throttle.take_events() == [CallerBlocked("", 0.0, number=ANN.number, until=LIMITS.window_seconds)]


def test_after_the_window_counting_begins_anew() -> None:
    throttle = Throttle()
    for _ in range(3):
        throttle.wrong_pin(ANN, "c1", 0.0)
    assert throttle.wrong_pin(ANN, "c1", LIMITS.window_seconds) == 0.5


def test_a_right_pin_forgives_mistakes_at_that_conference_but_not_elsewhere() -> None:
    throttle = Throttle()
    for _ in range(2):
        throttle.wrong_pin(ANN, "own", 0.0)
    throttle.right(ANN, "own")
    for _ in range(LIMITS.caller - 1):
        throttle.wrong_pin(ANN, "victim", 0.0)
        throttle.right(ANN, "own")
    assert throttle.blocked(ANN, "victim", 1.0) == 0
    throttle.wrong_pin(ANN, "victim", 0.0)
    throttle.right(ANN, "own")
    assert throttle.blocked(ANN, "victim", 1.0) > 0


def test_forgiving_mistakes_at_one_conference_leaves_those_at_others() -> None:
    throttle = Throttle()
    for _ in range(LIMITS.caller - 2):
        throttle.wrong_pin(ANN, "victim", 0.0)
    throttle.wrong_pin(ANN, "own", 0.0)
    throttle.right(ANN, "own")
    for _ in range(2):
        assert throttle.blocked(ANN, "victim", 1.0) == 0
        throttle.wrong_pin(ANN, "victim", 0.0)
    assert throttle.blocked(ANN, "victim", 1.0) > 0


def test_a_conference_under_attack_still_lets_its_own_people_try() -> None:
    throttle = Throttle()
    throttle.right(ANN, "c1")
    for n in range(LIMITS.conference):
        throttle.wrong_pin(_stranger(n), "c1", 5.0)
    assert throttle.blocked(_stranger(1000), "c1", 6.0) == LIMITS.window_seconds - 1
    assert throttle.blocked(ANN, "c1", 6.0) == 0
    assert throttle.blocked(Tries("375292222222", "375292222222", proven=True), "c1", 6.0) == 0
    assert throttle.blocked(_stranger(1000), "c2", 6.0) == 0


def test_b40_the_audit_hears_of_every_wrong_pin_and_of_every_block() -> None:
    throttle = Throttle(Limits(caller=2, conference=3))
    throttle.wrong_pin(ANN, "c1", 1.0)
    throttle.wrong_pin(ANN, "c1", 2.0)
    throttle.wrong_pin(_stranger(7), "c1", 3.0)
    assert throttle.take_events() == [
        WrongPinTried("c1", 1.0, number=ANN.number, count=1),
        WrongPinTried("c1", 2.0, number=ANN.number, count=2),
        CallerBlocked("c1", 2.0, number=ANN.number, until=1.0 + LIMITS.window_seconds),
        WrongPinTried("c1", 3.0, number="7", count=1),
        ConferenceGuarded("c1", 3.0, until=1.0 + LIMITS.window_seconds),
    ]
    assert throttle.take_events() == []


def test_memory_stays_bounded_under_a_flood_of_invented_callers() -> None:
    throttle = Throttle()
    for n in range(MAX_KEYS):
        throttle.wrong_pin(_stranger(n), "c1", 0.0)
        throttle.right(_stranger(n), f"c{n}")
        throttle.take_events()
    throttle.right(ANN, "c1")
    assert len(throttle._counts) <= MAX_KEYS
    assert len(throttle._known) <= MAX_KEYS
