"""Comfort noise: quiet, without seams, the same at every rate and in every law, never twice the same frame."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from mixer.comfort import FRAMES, ComfortNoise
from mixer.g711 import DECODE, PCMA, PCMU
from tests.mixer.sound import dbov

NOISE = ComfortNoise()
TICKS = range(FRAMES)


def wave(rate: int) -> NDArray[np.float32]:
    return np.concatenate([NOISE.samples(rate, tick) for tick in TICKS])


def g711(law: int) -> NDArray[np.float32]:
    decoded: NDArray[np.float32] = DECODE[law][np.concatenate([NOISE.g711(tick)[law] for tick in TICKS])]
    return decoded


@pytest.mark.parametrize("signal", [g711(PCMU), g711(PCMA), wave(8000), wave(16000), wave(48000)])
def test_comfort_noise_has_the_level_of_a_quiet_room(signal: NDArray[np.float32]) -> None:
    assert -66 < dbov(float((signal**2).mean())) < -60
    level = [dbov(float((part**2).mean() + 1e-9)) for part in np.array_split(signal, 50)]
    assert max(level) - min(level) < 6


def test_comfort_noise_is_not_heard_as_talking() -> None:
    worst = max(float((NOISE.samples(8000, tick) ** 2).mean()) for tick in TICKS)
    assert dbov(worst) < -54


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
def test_comfort_noise_has_no_seams_not_even_where_it_begins_again(rate: int) -> None:
    signal = wave(rate).astype(np.float64)
    frame = rate // 50
    bends = np.abs(np.diff(np.concatenate((signal, signal[:2])), 2))
    at_seams = np.concatenate((bends[frame - 2 :: frame], bends[frame - 1 :: frame]))
    assert at_seams.max() <= np.quantile(bends, 0.9999) * 1.5
    assert at_seams.mean() == pytest.approx(bends.mean(), rel=0.1)


def test_comfort_noise_never_repeats_within_its_ten_seconds() -> None:
    frames = np.stack([NOISE.samples(8000, tick) for tick in TICKS]).astype(np.float64)
    frames /= np.linalg.norm(frames, axis=1, keepdims=True)
    likeness = np.abs(frames @ frames.T) - np.eye(FRAMES)
    assert likeness.max() < 0.9
    assert len({NOISE.g711(tick)[PCMU].tobytes() for tick in TICKS}) == FRAMES
    assert (NOISE.g711(FRAMES + 3) == NOISE.g711(3)).all()


def test_comfort_noise_is_the_same_sound_at_every_rate() -> None:
    low, high = wave(16000), wave(48000)[::3]
    assert np.corrcoef(low, high)[0, 1] > 0.999


def test_comfort_noise_fades_towards_high_frequencies_as_a_room_does() -> None:
    power = np.abs(np.fft.rfft(wave(16000))) ** 2
    hertz = np.fft.rfftfreq(len(wave(16000)), 1 / 16000)

    def band(low: float, high: float) -> float:
        return float(power[(hertz >= low) & (hertz < high)].mean())

    assert band(100, 300) > 10 * band(1000, 2000) > 30 * band(3000, 6000)
    assert band(0, 40) < 0.01 * band(100, 300)


def test_comfort_noise_cannot_be_changed_by_who_plays_it() -> None:
    with pytest.raises(ValueError, match="read-only"):
        NOISE.samples(8000, 0)[0] = 1
