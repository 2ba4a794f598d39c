"""Levelling: how near everybody comes to the target, how quickly, and that nothing but speech moves a gain."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from mixer.levels import TalkDetector
from mixer.loudness import HIGHEST_DB, LOWEST_DB, TARGET_DBOV, TICKS_PER_SECOND, Leveller
from tests.mixer.sound import (
    ESPEAK,
    active_level,
    at_level,
    energies,
    frames,
    noise,
    sharpest_bend,
    spoken,
)
from tests.mixer.voice import tone, vowels

Float = NDArray[np.float32]
SPEAKS = np.ones(1, np.bool_)


def levelled(wave: Float, leveller: Leveller | None = None) -> tuple[Float, Float]:
    """The signal after talk detection and levelling, and its gain in dB tick by tick."""
    leveller = leveller or Leveller(1)
    detector = TalkDetector(1)
    out = frames(wave).copy()
    gains = []
    for tick, energy in enumerate(energies(wave)):
        now = np.array([energy], np.float32)
        detector.update(1, now, SPEAKS)
        gain = leveller.update(1, now, detector.talking)
        leveller.apply(np.zeros(1, np.int64), out[tick : tick + 1])
        gains.append(20 * np.log10(gain[0]))
    return out.reshape(-1), np.array(gains, np.float32)


def feed(leveller: Leveller, level_dbov: float, seconds: float, *, speech: bool = True) -> float:
    """Frames of one steady level; the gain in dB afterwards."""
    energy = np.array([32768.0**2 * 10 ** (level_dbov / 10)], np.float32)
    for _ in range(round(seconds * TICKS_PER_SECOND)):
        leveller.update(1, energy, np.array([speech]))
    return leveller.gain_db(0)


@pytest.mark.parametrize("level", [-40, -33, -26, -20, -15])
def test_n9_a_quiet_and_a_loud_talker_come_to_within_two_db_of_the_target(level: int) -> None:
    wave = at_level(vowels(8000, 20, seed=level + 50), level)
    out, _ = levelled(wave)
    assert active_level(out[10 * 8000 :]) == pytest.approx(TARGET_DBOV, abs=2)


@pytest.mark.skipif(ESPEAK is None, reason="espeak-ng is not installed")
@pytest.mark.parametrize("voice", ["en-us", "ru", "en-us+f2"])
@pytest.mark.parametrize("level", [-38, -14])
def test_n9_spoken_sentences_come_to_within_two_db_of_the_target(voice: str, level: float) -> None:
    out, _ = levelled(at_level(spoken(voice, 175), level))
    assert active_level(out[6 * 8000 :]) == pytest.approx(TARGET_DBOV, abs=2)


def test_n9_the_first_second_of_speech_makes_up_most_of_the_difference() -> None:
    assert feed(Leveller(1), -36, 1.0) > 8
    assert feed(Leveller(1), -16, 1.0) < -8


def test_n9_later_the_gain_moves_slowly_up_and_somewhat_faster_down() -> None:
    leveller = Leveller(1)
    feed(leveller, -26, 10)
    down = np.diff([feed(leveller, -12, 0.02) for _ in range(100)]).min() * TICKS_PER_SECOND
    feed(leveller, -26, 30)
    up = np.diff([feed(leveller, -38, 0.02) for _ in range(400)]).max() * TICKS_PER_SECOND
    assert -6.1 < down < -5
    assert 2.5 < up < 3.1


def test_n9_the_gain_stays_within_its_limits() -> None:
    assert feed(Leveller(1), -49, 30) == pytest.approx(HIGHEST_DB, abs=1.1)
    assert feed(Leveller(1), -2, 30) == pytest.approx(LOWEST_DB, abs=1.1)


def test_n9_silence_and_noise_between_words_do_not_move_the_gain() -> None:
    leveller = Leveller(1)
    gain = feed(leveller, -36, 5)
    assert feed(leveller, -127, 60, speech=False) == gain
    assert feed(leveller, -50, 60, speech=False) == gain


def test_n9_a_whole_call_of_line_noise_is_not_turned_up() -> None:
    _, gains = levelled(noise(30, -55))
    assert np.abs(gains).max() == 0


def test_n9_a_quiet_talker_is_not_raised_further_than_his_noise_may_be() -> None:
    clean, noisy = Leveller(1), Leveller(1)
    feed(noisy, -52, 30, speech=False)
    assert feed(clean, -40, 10) > 12
    assert feed(noisy, -40, 10) < 6


def test_n9_a_level_near_the_target_is_left_alone() -> None:
    assert feed(Leveller(1), TARGET_DBOV + 0.8, 20) == 0


def test_n9_switched_off_the_gain_glides_back_to_one_and_stays_there() -> None:
    leveller = Leveller(1)
    before = feed(leveller, -38, 10)
    leveller.enabled[0] = False
    assert 0 < feed(leveller, -38, 1.0) == pytest.approx(before - 6, abs=0.2)
    assert feed(leveller, -127, 5, speech=False) == 0
    assert feed(leveller, -38, 5) == 0


def test_n9_a_moving_gain_makes_no_clicks() -> None:
    wave = tone(8000, 110, 3, peak=600)
    out, gains = levelled(wave)
    assert gains.max() - gains.min() > 10
    assert sharpest_bend(out) < sharpest_bend(wave) * 10 ** (gains.max() / 20) * 1.02


def test_n9_gains_stay_with_their_rows_and_a_new_row_begins_at_one() -> None:
    leveller = Leveller(3)
    energy = np.array([32768.0**2 * 10 ** (level / 10) for level in (-26, -38, -14)], np.float32)
    for _ in range(200):
        gain = leveller.update(3, energy, np.ones(3, np.bool_))
    quiet, loud = float(gain[1]), float(gain[2])
    assert quiet > 3
    assert loud < 0.4
    leveller.move(2, 0)
    leveller.reset(2)
    assert leveller.update(3, energy, np.zeros(3, np.bool_)) == pytest.approx([loud, quiet, 1])
