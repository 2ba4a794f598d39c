"""A deterministic vowel-like signal: a gliding pitch with formants, syllables and a little noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def vowels(rate: int, seconds: float, seed: int = 0, peak: float = 12000.0) -> NDArray[np.float32]:
    """float32[rate * seconds] in int16 scale."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(rate * seconds)) / rate
    pitch = rng.uniform(90, 220) * (1 + 0.15 * np.sin(2 * np.pi * 0.6 * time + rng.uniform(0, 6)))
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    wave = rng.normal(0, 0.01, time.size)
    for harmonic in range(1, 25):
        tone = harmonic * pitch
        formants = sum(
            height * np.exp(-(((tone - centre) / width) ** 2))
            for height, centre, width in ((1, 600, 250), (0.6, 1400, 350), (0.3, 2600, 400), (0.2, 0, 300))
        )
        wave += formants * np.sin(harmonic * phase + harmonic**2) * (tone < 0.45 * rate)
    wave *= 0.55 + 0.45 * np.sin(2 * np.pi * 2.7 * time)
    voice: NDArray[np.float32] = (wave * (peak / np.abs(wave).max())).astype(np.float32)
    return voice


def tone(rate: int, frequency: float, seconds: float, peak: float = 10000.0) -> NDArray[np.float32]:
    """float32[rate * seconds], a sine."""
    return (peak * np.sin(2 * np.pi * frequency * np.arange(int(rate * seconds)) / rate)).astype(np.float32)


def snr_db(wanted: NDArray[np.float32], got: NDArray[np.float32]) -> float:
    return float(10 * np.log10((wanted**2).sum() / ((wanted - got) ** 2).sum()))
