"""Levels and talk detection, on rows of synthetic frame energies."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from mixer.levels import ATTACK_TICKS, HANGOVER_TICKS, SILENCE_DBOV, TalkDetector, dbov


def energy(*levels: float) -> NDArray[np.float32]:
    """Mean squares of frames that loud (dBov)."""
    return np.array([32768.0**2 * 10 ** (level / 10) for level in levels], np.float32)


def run(detector: TalkDetector, ticks: int, *levels: float, active: bool = True) -> list[tuple[int, str, int]]:
    """(tick, what, row) of all that the detector told."""
    told = []
    for tick in range(ticks):
        started, stopped = detector.update(len(levels), energy(*levels), np.full(len(levels), active))
        told += [(tick, "start", int(row)) for row in started] + [(tick, "stop", int(row)) for row in stopped]
    return told


def test_levels_are_zero_for_a_full_scale_square_and_127_below_for_silence() -> None:
    sine = 32768**2 / 2
    values = dbov(np.array([32768.0**2, sine, 0.0, 1e12], np.float32))
    assert values == pytest.approx([0.0, -3.01, SILENCE_DBOV, 0.0], abs=0.01)


def test_b18_who_speaks_is_told_once_at_start_and_once_after_the_hangover() -> None:
    detector = TalkDetector(4)
    assert run(detector, 50, -127, -65) == []
    assert run(detector, 100, -25, -65) == [(ATTACK_TICKS - 1, "start", 0)]
    assert detector.talking.tolist() == [True, False, False, False]
    assert run(detector, 50, -65, -65) == [(HANGOVER_TICKS - 1, "stop", 0)]
    assert detector.talk_ticks[0] == 100 - (ATTACK_TICKS - 1) + HANGOVER_TICKS - 1


def test_b18_pauses_between_words_do_not_end_talking() -> None:
    detector = TalkDetector(1)
    told = [event for _ in range(20) for event in run(detector, 20, -25) + run(detector, HANGOVER_TICKS - 2, -70)]
    assert told == [(ATTACK_TICKS - 1, "start", 0)]


def test_b18_who_talks_may_get_a_little_quieter() -> None:
    detector, newcomer = TalkDetector(1), TalkDetector(1)
    run(detector, 50, -25)
    run(newcomer, 50, -54)
    assert run(detector, 20, -51) == []
    assert run(newcomer, 20, -51) == []
    assert (detector.talking[0], newcomer.talking[0]) == (True, False)


def test_a_click_is_not_talking() -> None:
    detector = TalkDetector(1)
    for _ in range(20):
        assert run(detector, 1, -10) == []
        assert run(detector, 5, -70) == []


def test_steady_line_noise_is_learnt_and_speech_over_it_still_found() -> None:
    detector = TalkDetector(1)
    run(detector, 400, -48)
    assert not detector.talking[0]
    assert run(detector, 100, -48) == []
    assert run(detector, 10, -30) == [(ATTACK_TICKS - 1, "start", 0)]


def test_a_steady_loud_sound_counts_as_talking_for_ever() -> None:
    detector = TalkDetector(1)
    run(detector, 6000, -20)
    assert detector.talking[0]


def test_frames_that_were_not_received_are_silence_and_teach_no_noise_floor() -> None:
    detector = TalkDetector(1)
    run(detector, 100, -48)
    run(detector, 500, -20, active=False)
    assert not detector.talking[0]
    assert detector.level_dbov[0] == pytest.approx(SILENCE_DBOV, abs=0.1)
    assert run(detector, 3, -47) == []


def test_the_level_settles_on_a_steady_tone_within_a_fifth_of_a_second() -> None:
    detector = TalkDetector(1)
    run(detector, 10, -21.5)
    assert detector.level_dbov[0] == pytest.approx(-21.5, abs=0.15)


def test_rows_move_into_holes_with_all_their_state() -> None:
    detector, twin = TalkDetector(3), TalkDetector(3)
    run(detector, 30, -127, -127, -25)
    run(twin, 30, -25, -127, -127)
    detector.move(2, 0)
    assert detector.talking.tolist() == [True, False, False]
    assert run(detector, 30, -70, -70) == run(twin, 30, -70, -70)
    assert detector.level_dbov[0] == twin.level_dbov[0]
    assert detector.talk_ticks.tolist() == twin.talk_ticks.tolist()


def test_a_reset_row_is_as_new() -> None:
    detector = TalkDetector(2)
    run(detector, 30, -25, -25)
    detector.reset(0)
    assert detector.talking.tolist() == [False, True]
    assert detector.level_dbov[0] == SILENCE_DBOV
    assert detector.talk_ticks[0] == 0
