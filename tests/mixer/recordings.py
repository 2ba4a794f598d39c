"""For tests of the recorder: what a finished file sounds like."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]


def read(path: Path) -> tuple[Float, int]:
    """Samples in int16 scale, and their rate (Opus is always read at 48 kHz)."""
    with av.open(str(path)) as container:
        rate = container.streams.audio[0].rate
        frames = [frame.to_ndarray() for frame in container.decode(audio=0)]
    if not frames:
        return np.zeros(0), rate
    samples = np.concatenate(frames, axis=1)[0]
    return samples.astype(np.float64) * (32768 if samples.dtype.kind == "f" else 1), rate


def seconds(path: Path) -> float:
    samples, rate = read(path)
    return len(samples) / rate


def rms(samples: Float) -> float:
    return float(np.sqrt(np.mean(samples**2)))


def sine(rate: int, tick: int, frequency: float = 440.0, peak: float = 8000.0) -> NDArray[np.int16]:
    """The 20 ms of an endless tone that belong to ``tick``."""
    time = (tick * (rate // 50) + np.arange(rate // 50)) / rate
    return np.rint(peak * np.sin(2 * np.pi * frequency * time)).astype(np.int16)
