"""Concealment of lost frames: better than silence or repetition, without clicks, each row for itself."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from mixer.conceal import HISTORY_FRAMES, Concealer
from tests.mixer.voice import snr_db, tone, vowels

ONE = np.zeros(1, np.intp)


def lossy_playout(concealer: Concealer, voice: NDArray[np.float32], lost: NDArray[np.bool_]) -> NDArray[np.float32]:
    """What is played of voice[rows, ticks, frame] when lost[rows, ticks] do not arrive."""
    rows, ticks, frame = voice.shape
    history = np.zeros((rows, HISTORY_FRAMES * frame), np.float32)
    out = np.empty_like(voice)
    for tick in range(ticks):
        played = voice[:, tick].copy()
        gone = np.flatnonzero(lost[:, tick])
        back = np.flatnonzero(~lost[:, tick] & lost[:, tick - 1]) if tick else gone[:0]
        played[back] = concealer.resume(back, played[back])
        played[gone] = concealer.conceal(gone, history[gone])
        history = np.concatenate((history[:, frame:], played), axis=1)
        out[:, tick] = played
    return out


def voices(rate: int, rows: int, seconds: float) -> NDArray[np.float32]:
    return np.stack([vowels(rate, seconds, seed) for seed in range(rows)]).reshape(rows, -1, rate // 50)


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
@pytest.mark.parametrize("loss", [0.03, 0.1])
def test_b32_concealed_speech_is_closer_to_the_original_than_silence_or_repetition(rate: int, loss: float) -> None:
    voice = voices(rate, 6, 6)
    lost = np.random.default_rng(5).random(voice.shape[:2]) < loss
    lost[:, 0] = False
    concealed = lossy_playout(Concealer(6, rate), voice, lost)
    newest = np.maximum.accumulate(np.where(lost, 0, np.arange(voice.shape[1])), axis=1)
    repeated = voice[np.arange(6)[:, None], newest]
    silenced = np.where(lost[:, :, None], np.float32(0), voice)
    assert snr_db(voice, concealed) > snr_db(voice, silenced) + 1
    assert snr_db(voice, concealed) > snr_db(voice, repeated) + 3


def test_a_steady_vowel_goes_on_unbroken_through_a_lost_frame() -> None:
    period = tone(8000, 160, 1) + tone(8000, 800, 1, 4000)
    voice = period.reshape(1, -1, 160)
    lost = np.zeros((1, 50), np.bool_)
    lost[0, 20] = True
    played = lossy_playout(Concealer(1, 8000), voice, lost)
    first_half = np.s_[0, 20, :80]
    assert snr_db(voice[first_half], played[first_half]) > 30
    assert snr_db(voice[0, 21], played[0, 21]) > 15


@pytest.mark.parametrize("rate", [16000, 48000])
def test_b32_losses_make_no_clicks(rate: int) -> None:
    voice = voices(rate, 6, 4)
    lost = np.random.default_rng(7).random(voice.shape[:2]) < 0.1
    played = lossy_playout(Concealer(6, rate), voice, lost)
    bend = np.abs(np.diff(voice.reshape(6, -1), 2)).max()
    assert np.abs(np.diff(played.reshape(6, -1), 2)).max() < 2 * bend


def test_b32_a_long_loss_fades_to_silence_within_60_ms() -> None:
    concealer = Concealer(1, 8000)
    history = vowels(8000, 1)[None, :480] + tone(8000, 200, 1)[None, :480]
    frames = [concealer.conceal(ONE, history)[0] for _ in range(5)]
    loudness = [float(np.sqrt(np.mean(frame**2))) for frame in frames]
    assert loudness[0] > loudness[1] > loudness[2] > 0
    assert loudness[3] == loudness[4] == 0
    back = concealer.resume(ONE, np.full((1, 160), 1000, np.float32))[0]
    assert np.all(np.diff(back[:80]) > 0)
    assert np.all(back[80:] == 1000)


def test_silence_is_concealed_by_silence() -> None:
    concealer = Concealer(1, 8000)
    assert not concealer.conceal(ONE, np.zeros((1, 480), np.float32)).any()


def test_rows_do_not_touch_each_other() -> None:
    voice = voices(8000, 5, 2)
    lost = np.random.default_rng(3).random(voice.shape[:2]) < 0.3
    together = lossy_playout(Concealer(5, 8000), voice, lost)
    for row in range(5):
        alone = lossy_playout(Concealer(1, 8000), voice[row : row + 1], lost[row : row + 1])
        assert np.allclose(together[row], alone[0], atol=0.01)


def test_a_row_that_lost_nothing_keeps_its_frame() -> None:
    frame = vowels(8000, 1)[None, :160]
    assert np.array_equal(Concealer(1, 8000).resume(ONE, frame), frame)


def test_a_row_moves_in_the_middle_of_a_loss() -> None:
    voice = voices(8000, 3, 1).reshape(3, -1)
    history = voice[:, :480]
    moved, stayed = Concealer(3, 8000), Concealer(3, 8000)
    last = np.array([2])
    for concealer in (moved, stayed):
        concealer.conceal(np.arange(3), history)
    moved.move(2, 0)
    first = np.array([0])
    assert np.array_equal(moved.conceal(first, history[last]), stayed.conceal(last, history[last]))
    frame = voice[last, 800:960]
    assert np.array_equal(moved.resume(first, frame), stayed.resume(last, frame))
    assert np.array_equal(moved.resume(last, frame), frame)


def test_a_reset_row_has_lost_nothing() -> None:
    concealer = Concealer(1, 8000)
    concealer.conceal(ONE, vowels(8000, 1)[None, :480])
    concealer.reset(0)
    frame = np.ones((1, 160), np.float32)
    assert np.array_equal(concealer.resume(ONE, frame), frame)
