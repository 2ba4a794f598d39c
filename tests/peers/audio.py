"""Tones as WAV files, and what can be told about a recording: levels of tones, gaps, who is heard."""

from __future__ import annotations

import wave
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float64]
WINDOW_MS = 20
FLOOR_DBOV = -100.0


@dataclass(frozen=True, slots=True)
class Recording:
    """Mono samples in -1..1 at ``rate`` Hz."""

    rate: int
    samples: Samples

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.rate

    def part(self, start: float, end: float | None = None) -> Recording:
        """The stretch from ``start`` to ``end`` seconds; negative values count from the end."""

        def at(seconds: float) -> int:
            return int(seconds * self.rate) if seconds >= 0 else max(0, len(self.samples) + int(seconds * self.rate))

        return Recording(self.rate, self.samples[at(start) : len(self.samples) if end is None else at(end)])


def write_tone(
    path: Path, hertz: float, *, dbov: float = -16.0, seconds: float = 2.0, rate: int = 16_000, channels: int = 1
) -> Path:
    """A WAV with a whole number of periods, so that it can be looped. ``dbov``: a full-scale sine has -3.01 (RMS)."""
    count = round(round(hertz * seconds) / hertz * rate)
    amplitude = 10 ** (dbov / 20) * np.sqrt(2)
    samples = amplitude * np.sin(2 * np.pi * round(hertz * seconds) * np.arange(count) / count)
    with wave.open(str(path), "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(np.repeat(samples * 32767, channels).astype("<i2").tobytes())
    return path


def read_wav(path: Path) -> Recording:
    """A 16-bit WAV, also one whose writer died before it wrote the length; several channels become their mean."""
    data = path.read_bytes()
    at = data.index(b"fmt ")
    channels = int.from_bytes(data[at + 10 : at + 12], "little")
    rate = int.from_bytes(data[at + 12 : at + 16], "little")
    body = data[data.index(b"data", at) + 8 :]
    body = body[: len(body) // (2 * channels) * 2 * channels]
    samples = np.frombuffer(body, "<i2").reshape(-1, channels).mean(axis=1) / 32768
    return Recording(rate, samples)


def level_dbov(recording: Recording, hertz: float) -> float:
    """RMS level of one tone: Hann-windowed DFT at exactly that frequency, the median over windows of 100 ms.

    A jitter buffer that inserts or drops a packet shifts the tone's phase; one DFT over everything would then measure
    the cancellation instead of the level.
    """
    width = min(recording.rate // 10, len(recording.samples))
    if width == 0:
        return FLOOR_DBOV
    blocks = recording.samples[: len(recording.samples) // width * width].reshape(-1, width)
    window = np.hanning(width)
    turns = np.exp(-2j * np.pi * hertz / recording.rate * np.arange(width))
    amplitude = 2 * np.abs(blocks @ (window * turns)) / np.sum(window)
    return max(FLOOR_DBOV, 20 * float(np.log10(np.median(amplitude) / np.sqrt(2) + 1e-12)))


def tone_over_time(recording: Recording, hertz: float, step_ms: int = WINDOW_MS) -> NDArray[np.float64]:
    """Level of one tone in dBov, window by window (windows of three steps, so that a tone stands clear of others)."""
    step = recording.rate * step_ms // 1000
    width = 3 * step
    return np.array(
        [
            level_dbov(Recording(recording.rate, recording.samples[at : at + width]), hertz)
            for at in range(0, len(recording.samples) - width + 1, step)
        ]
    )


def gaps(recording: Recording, hertz: float, *, below_dbov: float = -35.0) -> list[tuple[float, float]]:
    """Stretches (start, length in seconds) in which the tone is missing."""
    missing = tone_over_time(recording, hertz) < below_dbov
    edges = np.flatnonzero(np.diff(np.concatenate([[0], missing.astype(np.int8), [0]])))
    step = WINDOW_MS / 1000
    return [(float(a) * step, float(b - a) * step) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def assert_steady(recording: Recording, *tones: float, missing: float = 0.25) -> None:
    """No tone is choppy: at most a share of ``missing`` of the time is without it.

    A busy test machine stops phones for a tenth of a second and more; that every frame is there on time is shown in
    virtual time by the engine's tests and under real load by ``./veche bench mix``.
    """
    missing *= recording.seconds
    holes = {hertz: gaps(recording, hertz) for hertz in tones}
    holes = {hertz: found for hertz, found in holes.items() if sum(length for _, length in found) > missing}
    assert not holes, f"gaps (start, length): {holes}"


def assert_hears(
    recording: Recording, others: Mapping[float, float], own: float | None, tolerance: float = 1.5
) -> None:
    """Every other's tone (hertz -> dBov) is at its level, one's own is at least 35 dB below the loudest of them."""
    heard = {hertz: level_dbov(recording, hertz) for hertz in others}
    wrong = {
        hertz: (round(heard[hertz], 1), level)
        for hertz, level in others.items()
        if abs(heard[hertz] - level) > tolerance
    }
    assert not wrong, f"tones heard at (dBov, expected): {wrong}; all: {heard}"
    if own is not None:
        mine = level_dbov(recording, own)
        assert mine < max(heard.values()) - 35, f"hears itself at {mine:.1f} dBov, the others at {heard}"


def assert_silent(recording: Recording, *tones: float, below_dbov: float = -55.0) -> None:
    """None of the tones is there."""
    heard = {hertz: round(level_dbov(recording, hertz), 1) for hertz in tones}
    assert all(level < below_dbov for level in heard.values()), f"expected silence, heard {heard} dBov"
