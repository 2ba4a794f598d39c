"""Resampling between 8, 16 and 48 kHz: flat where speech is, no images, no aliases, no seams."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from mixer.resample import RATES, Resampler
from tests.mixer.voice import tone, vowels

DIRECTIONS = list(itertools.permutations(RATES, 2))
EDGE = {8000: 3400, 16000: 7000}


def resample(resampler: Resampler, signal: NDArray[np.float32], rate_in: int) -> NDArray[np.float32]:
    """Row 0 of ``resampler`` fed frame by frame."""
    frames = signal.reshape(-1, 1, rate_in // 50)
    return np.concatenate([resampler.process(slice(0, 1), frame)[0] for frame in frames])


def spectrum(signal: NDArray[np.float32]) -> NDArray[np.float64]:
    """dB of each 5 Hz of the last fifth of a second, 0 for a sine of 10,000."""
    part = signal[-len(signal) // 5 * 4 :]
    bins = np.abs(np.fft.rfft(part)) / len(part) * 2
    levels: NDArray[np.float64] = 20 * np.log10(bins / 10000 + 1e-9)
    return levels


@pytest.mark.parametrize(("rate_in", "rate_out"), DIRECTIONS)
def test_tones_of_the_pass_band_keep_their_level_and_make_no_images(rate_in: int, rate_out: int) -> None:
    for frequency in range(100, EDGE[min(rate_in, rate_out)] + 1, 300):
        out = resample(Resampler(rate_in, rate_out, 1), tone(rate_in, frequency, 0.5), rate_in)
        levels = spectrum(out)
        wanted = round(frequency * 0.4)
        assert abs(levels[wanted]) < 0.5
        assert np.delete(levels, wanted).max() < -50


@pytest.mark.parametrize(("rate_in", "rate_out"), [d for d in DIRECTIONS if d[0] > d[1]])
def test_tones_above_the_lower_rate_make_no_aliases(rate_in: int, rate_out: int) -> None:
    for frequency in range(rate_out - EDGE[rate_out], rate_in // 2, 400):
        out = resample(Resampler(rate_in, rate_out, 1), tone(rate_in, frequency, 0.5), rate_in)
        assert spectrum(out).max() < -50


@pytest.mark.parametrize(("rate_in", "rate_out"), DIRECTIONS)
def test_the_delay_is_short_and_as_stated(rate_in: int, rate_out: int) -> None:
    resampler = Resampler(rate_in, rate_out, 1)
    signal = tone(rate_in, 500, 0.2)
    out = resample(resampler, signal, rate_in)
    time = np.arange(len(out)) / rate_out - resampler.delay
    settled = time > 0.01
    assert resampler.delay < 0.0025
    assert np.abs(out - 10000 * np.sin(2 * np.pi * 500 * time))[settled].max() < 60


@pytest.mark.parametrize(("rate_in", "rate_out"), DIRECTIONS)
def test_frames_follow_each_other_without_a_click(rate_in: int, rate_out: int) -> None:
    out = resample(Resampler(rate_in, rate_out, 1), tone(rate_in, 300, 1), rate_in)[rate_out // 50 :]
    smooth = 10000 * (2 * np.pi * 300 / rate_out) ** 2
    assert np.abs(np.diff(out, 2)).max() < 1.1 * smooth + 20


def test_a_constant_stays_constant() -> None:
    for rate_in, rate_out in DIRECTIONS:
        out = resample(Resampler(rate_in, rate_out, 1), np.full(rate_in // 10, 1000, np.float32), rate_in)
        assert np.abs(out[rate_out // 50 :] - 1000).max() < 5


def test_many_rows_are_resampled_as_each_alone() -> None:
    rows = 300
    voice = vowels(8000, rows * 0.04).reshape(2, rows, 160)
    together = Resampler(8000, 16000, rows)
    some = np.arange(0, rows, 7)
    for tick, frames in enumerate(voice):
        out = together.process(slice(0, rows), frames) if tick == 0 else together.process(some, frames[some])
    for place, row in enumerate(some):
        alone = resample(Resampler(8000, 16000, 1), voice[:, row].ravel(), 8000)
        assert np.allclose(out[place], alone[320:], atol=0.05)


def test_rows_move_and_are_reset_with_their_memory() -> None:
    voice = vowels(8000, 0.12).reshape(2, 3, 160)
    moved, stayed = Resampler(8000, 16000, 3), Resampler(8000, 16000, 3)
    for resampler in (moved, stayed):
        resampler.process(slice(0, 3), voice[0])
    moved.move(2, 0)
    expected = stayed.process(slice(2, 3), voice[1, 2:])
    assert np.array_equal(moved.process(slice(0, 1), voice[1, 2:]), expected)
    moved.reset(1)
    fresh = Resampler(8000, 16000, 1).process(slice(0, 1), voice[1, :1])
    for row in (1, 2):
        assert np.array_equal(moved.process(np.array([row]), voice[1, :1]), fresh)


@pytest.mark.parametrize(("rate_in", "rate_out"), [(8000, 8000), (44100, 8000), (8000, 24000)])
def test_other_rates_are_refused(rate_in: int, rate_out: int) -> None:
    with pytest.raises(ValueError, match="cannot resample"):
        Resampler(rate_in, rate_out, 1)
