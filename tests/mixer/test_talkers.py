"""Talker selection: who is heard when more speak than there are places."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from mixer.talkers import KEEP_TICKS, TalkerSelector
from tests.mixer.sound import sharpest_bend
from tests.mixer.voice import tone

Float = NDArray[np.float32]
ONE_ROOM = np.zeros(16, np.int64)


def energy(*levels: float) -> Float:
    return np.array([32768.0**2 * 10 ** (level / 10) for level in levels], np.float32)


def heard(selector: TalkerSelector, *levels: float, limit: int = 2, ticks: int = 1) -> list[int]:
    """Rows 0.. of one conference speak that loud; who is heard in the last tick, those just fading out left aside."""
    rows = np.arange(len(levels))
    for _ in range(ticks):
        chosen = selector.select(rows, ONE_ROOM[rows], energy(*levels), limit)
    return [int(row) for row in rows[chosen] if not selector._leaving[row]]


def test_word_starts_are_heard_at_once_while_there_is_room() -> None:
    selector = TalkerSelector(4)
    assert heard(selector, -60) == [0]
    assert heard(selector, -20, -62) == [0, 1]
    assert not selector._fading


def test_of_more_voices_than_places_the_loudest_are_heard() -> None:
    assert heard(TalkerSelector(8), -40, -20, -30, -22, limit=2) == [1, 3]


def test_a_talker_keeps_his_place_against_others_as_loud() -> None:
    selector = TalkerSelector(4)
    heard(selector, -26, -26, ticks=10)
    assert heard(selector, -26, -26, -22, ticks=50) == [0, 1]


def test_somebody_much_louder_takes_the_place_of_the_weakest_after_two_frames() -> None:
    selector = TalkerSelector(4)
    heard(selector, -24, -28, ticks=10)
    assert heard(selector, -24, -28, -20) == [0, 1]
    assert heard(selector, -24, -28, -20) == [0, 2]


def test_a_single_loud_click_takes_nobodys_place() -> None:
    selector = TalkerSelector(4)
    heard(selector, -24, -28, ticks=10)
    for _ in range(5):
        assert heard(selector, -24, -28, -5) == [0, 1]
        assert heard(selector, -24, -28, -50, ticks=3) == [0, 1]


def test_a_short_pause_does_not_cost_the_place_but_a_long_one_does() -> None:
    selector = TalkerSelector(4)
    heard(selector, -24, -26, -60, ticks=10)
    assert heard(selector, -24, -60, -30, ticks=KEEP_TICKS - 1) == [0, 1]
    assert heard(selector, -24, -60, -30, ticks=10) == [0, 2]


def test_a_place_left_by_a_talker_who_went_silent_is_taken_at_once() -> None:
    selector = TalkerSelector(4)
    heard(selector, -24, -26, -40, ticks=10)
    chosen = selector.select(np.array([0, 2]), ONE_ROOM[:2], energy(-24, -40), 2)
    assert chosen.tolist() == [True, True]


def test_who_was_loud_long_ago_has_no_claim_from_then() -> None:
    selector = TalkerSelector(4)
    heard(selector, -10, -26, ticks=5)
    for _ in range(100):
        selector.select(np.array([1]), ONE_ROOM[:1], energy(-26), 2)
    heard(selector, -50, -26, ticks=5)
    assert heard(selector, -50, -26, -40, ticks=3) == [1, 2]


def test_each_conference_has_its_own_places() -> None:
    selector = TalkerSelector(8)
    rows, rooms = np.arange(6), np.array([3, 3, 3, 5, 5, 5])
    limits = np.full(8, 9)
    limits[3], limits[5] = 1, 2
    chosen = selector.select(rows, rooms, energy(-20, -30, -40, -40, -30, -20), limits)
    assert chosen.tolist() == [True, False, False, False, True, True]


def test_a_thousand_candidates_of_one_conference_get_no_more_than_its_places() -> None:
    selector, rng = TalkerSelector(1000), np.random.default_rng(1)
    rows, rooms = np.arange(1000), np.zeros(1000, np.int64)
    for _ in range(50):
        chosen = selector.select(rows, rooms, energy(*rng.uniform(-60, -10, 1000)), 5)
        assert 5 <= chosen.sum() <= 10
        assert chosen.sum() - selector._leaving.sum() == 5


@pytest.mark.parametrize("frame", [160, 960])
def test_who_comes_and_goes_in_the_middle_of_a_sound_fades_without_a_click(frame: int) -> None:
    selector = TalkerSelector(2)
    rate = frame * 50
    waves = np.stack([tone(rate, 210, 1, 3000), tone(rate, 210, 1, 300)]).reshape(2, 50, frame)
    waves[1, 25:] *= 40
    out = np.zeros((2, 50, frame), np.float32)
    rows = np.arange(2)
    for tick in range(50):
        now = waves[:, tick].copy()
        chosen = np.flatnonzero(selector.select(rows, ONE_ROOM[:2], (now**2).mean(axis=1), 1))
        mixed = now[chosen]
        selector.fade(chosen, mixed)
        out[chosen, tick] = mixed
    assert out[0, 24].any()
    assert not out[0, 30].any()
    assert out[1, 30].any()
    assert not out[1, 25].any()
    joined = out[:, 25:28].reshape(2, -1)
    allowed = 0.07 if frame == 160 else 0.012
    assert sharpest_bend(joined[0]) < allowed * 3000
    assert sharpest_bend(joined[1]) < allowed * 12000
    abrupt = np.concatenate((np.zeros(frame, np.float32), waves[1, 26]))
    assert sharpest_bend(abrupt) > 0.5 * 12000


def test_who_gets_in_as_the_crowd_ends_fades_in_too() -> None:
    selector, rows = TalkerSelector(2), np.arange(2)
    selector.select(rows, ONE_ROOM[:2], energy(-20, -21), 1)
    chosen = selector.select(rows[1:], ONE_ROOM[:1], energy(-21), 1)
    frame = np.full((1, 160), 1000, np.float32)
    selector.fade(rows[1:][chosen], frame)
    assert frame[0, 0] < 50
    assert frame[0, 60] == 1000
    selector.select(rows[1:], ONE_ROOM[:1], energy(-21), 1)
    again = np.full((1, 160), 1000, np.float32)
    selector.fade(rows[1:], again)
    assert again.min() == 1000


def test_a_row_that_left_begins_anew() -> None:
    selector = TalkerSelector(4)
    heard(selector, -20, -30, ticks=5, limit=1)
    selector.reset(0)
    assert heard(selector, -30, -29, limit=1) == [1]
