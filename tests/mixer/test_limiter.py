"""The limiter: transparent below the knee, no overload above, no clicks, one level for all who listen."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from mixer.limiter import CEILING, KNEE, Limiter, soften
from tests.mixer.sound import frames, sharpest_bend
from tests.mixer.voice import tone, vowels

Float = NDArray[np.float32]
ROOM = np.zeros(1, np.int64)


def limited(wave: Float, frame: int = 160, limiter: Limiter | None = None, *, knee: bool = True) -> Float:
    """A whole signal through the limiter of room 0."""
    limiter = limiter or Limiter(1)
    out = wave[: len(wave) // frame * frame].reshape(-1, 1, frame).copy()
    for tick, mix in enumerate(out):
        limiter.apply(ROOM, mix, tick)
        if knee:
            soften(mix)
    return out.reshape(-1)


def talkers(number: int, rate: int = 8000) -> Float:
    return np.stack([vowels(rate, 5, seed, peak=12000) for seed in range(number)])


def fidelity_db(wave: Float, out: Float) -> float:
    """How much of each frame is the wanted sound times some constant, against what is not (median over frames)."""
    a, b = frames(wave).astype(np.float64), frames(out).astype(np.float64)
    fit = (a * b).sum(axis=1) / np.maximum((a * a).sum(axis=1), 1)
    rest = ((b - fit[:, None] * a) ** 2).sum(axis=1)
    return float(np.median(10 * np.log10((b * b).sum(axis=1) / np.maximum(rest, 1e-3))))


def test_a_mix_below_the_knee_passes_to_the_bit() -> None:
    wave = talkers(1)[0]
    assert (limited(wave) == wave).all()


@pytest.mark.parametrize("number", [1, 3, 8])
@pytest.mark.parametrize("rate", [8000, 48000])
def test_one_three_and_eight_talkers_are_mixed_without_overload(number: int, rate: int) -> None:
    wave = talkers(number, rate).sum(axis=0)
    out = limited(wave, rate // 50)
    assert np.abs(out).max() <= CEILING
    assert fidelity_db(wave, out) > 25


def test_eight_talkers_sound_cleaner_than_clipped() -> None:
    wave = talkers(8).sum(axis=0) * 1.5
    loud = np.repeat(np.abs(frames(wave)).max(axis=1) > 32767, 160)
    out = limited(wave)
    clipped = np.clip(wave, -32768, 32767)
    assert loud.mean() > 0.3
    assert fidelity_db(wave[loud], out[loud]) > fidelity_db(wave[loud], clipped[loud]) + 10


def test_a_sudden_loud_sound_is_turned_down_within_its_first_frame_without_a_click() -> None:
    wave = tone(8000, 300, 1, peak=60000)
    wave[: 10 * 160] *= 0.1
    wave[30 * 160 :] *= 0.1
    out = limited(wave)
    assert np.abs(out).max() <= CEILING
    assert np.abs(out[11 * 160 : 30 * 160]).max() == pytest.approx(KNEE, rel=0.01)
    first_frame, later = slice(10 * 160 + 2, 11 * 160), slice(11 * 160, 29 * 160)
    assert sharpest_bend(out[first_frame]) < sharpest_bend(np.clip(wave, -KNEE, KNEE)[first_frame]) * 0.6
    assert sharpest_bend(out[later]) < sharpest_bend(wave[later])
    assert sharpest_bend(out[31 * 160 :]) <= sharpest_bend(wave[31 * 160 :]) * 1.02


def test_the_gain_opens_again_evenly_in_about_200_ms() -> None:
    limiter = Limiter(1)
    limited(np.full(160, 65000, np.float32), limiter=limiter)
    probe = np.full(160 * 100, 1000, np.float32)
    out = np.ones((100, 160), np.float32)
    for tick in range(100):
        out[tick] = probe[:160]
        limiter.apply(ROOM, out[tick : tick + 1], tick + 1)
    gain = out.reshape(-1) / 1000
    first = float(KNEE) / 65000
    assert gain[1600] == pytest.approx(1 - (1 - first) * np.exp(-1), abs=0.01)
    assert gain[-1] == 1
    assert np.diff(gain).min() >= -1e-6
    assert np.diff(gain).max() < 0.002


def test_who_hears_the_sum_without_himself_hears_the_others_at_the_level_all_hear() -> None:
    limiter, voice = Limiter(1), talkers(4).reshape(4, -1, 160) * 2
    rooms = np.zeros(4, np.int64)
    turned_down = 0
    for tick in range(voice.shape[1]):
        said = voice[:, tick].copy()
        total = said.sum(axis=0, keepdims=True)
        before = total.copy()
        limiter.apply(ROOM, total, tick)
        limiter.follow(rooms, said)
        loud = np.abs(before[0]) > 100
        gain = total[0, loud] / before[0, loud]
        turned_down += bool(gain.min(initial=1) < 0.8)
        assert (total - said)[:, loud] == pytest.approx((before - voice[:, tick])[:, loud] * gain, abs=0.1)
    assert turned_down > 20


def test_a_loud_conference_does_not_turn_down_another() -> None:
    limiter = Limiter(8)
    for tick in range(5):
        mix = np.stack([np.full(160, 60000, np.float32), np.full(160, 1000, np.float32)])
        limiter.apply(np.array([6, 2]), mix, tick)
        assert mix[1].tolist() == [1000] * 160
        assert mix[0, -1] == pytest.approx(KNEE)


def test_a_conference_that_was_silent_meanwhile_begins_with_its_gain_opened() -> None:
    limiter = Limiter(2)
    limiter.apply(ROOM, np.full((1, 160), 60000, np.float32), 0)
    later = np.full((1, 160), 1000, np.float32)
    limiter.apply(ROOM, later, 100)
    assert later.min() > 999


def test_a_new_conference_in_an_old_slot_begins_open() -> None:
    limiter = Limiter(2)
    limiter.apply(ROOM, np.full((1, 160), 60000, np.float32), 0)
    limiter.reset(0)
    mix = np.full((1, 160), 1000, np.float32)
    limiter.apply(ROOM, mix, 1)
    assert mix.tolist() == [[1000] * 160]


def test_the_knee_bends_smoothly_and_stays_below_the_ceiling() -> None:
    line = np.linspace(-200000, 200000, 40001, dtype=np.float32)[None]
    bent = line.copy()
    soften(bent)
    inner = np.abs(line) <= KNEE
    assert (bent[inner] == line[inner]).all()
    assert np.abs(bent).max() <= CEILING
    assert (np.diff(bent[0]) >= 0).all()
    assert np.abs(np.diff(bent[0], 2)).max() < 0.1


def test_empty_mixes_are_no_trouble() -> None:
    nothing = np.zeros((0, 160), np.float32)
    Limiter(1).apply(ROOM[:0], nothing, 0)
    soften(nothing)
