"""Measures of sound for tests: active speech level, clicks; and spoken text by espeak-ng where it is installed."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from tempfile import NamedTemporaryFile

import numpy as np
from numpy.typing import NDArray
from scipy.io import wavfile
from scipy.signal import resample_poly

Float = NDArray[np.float32]

FRAME = 160
ESPEAK = shutil.which("espeak-ng")
VOICES = ("en-us", "en-gb", "ru", "de", "fr", "pl", "en-us+f2", "en-us+m3")
TEXT = (
    "Good morning everybody. Today we want to talk about the plan for the next quarter, and then I will give the floor "
    "to our colleagues from the regional office. First of all, the figures: sales went up by seven percent, while the "
    "costs stayed the same as last year. We should therefore think about hiring two more people for the support team, "
    "because the number of calls keeps growing every single week. If there are any questions, please raise your hand "
    "and I will come to you in turn."
)


def frames(wave: Float) -> Float:
    """float32[ticks, 160] of an 8 kHz signal."""
    return wave[: len(wave) // FRAME * FRAME].reshape(-1, FRAME)


def energies(wave: Float) -> Float:
    """float32[ticks], mean square of each frame."""
    energy: Float = (frames(wave) ** 2).mean(axis=1)
    return energy


def dbov(power: float) -> float:
    return float(10 * np.log10(power / 32768.0**2))


def active_level(wave: Float) -> float:
    """Active speech level in dBov after ITU-T P.56: mean power over what is within 15.9 dB of it, and 200 ms beyond."""
    energy = energies(wave)
    level = energy.max()
    for _ in range(30):
        loud = energy > level * 10**-1.59
        active = np.convolve(loud, np.ones(10))[: len(loud)] > 0
        level = energy[active].mean()
    return dbov(float(level))


def at_level(wave: Float, level_dbov: float) -> Float:
    """The signal with that active level."""
    scaled: Float = (wave * 10 ** ((level_dbov - active_level(wave)) / 20)).astype(np.float32)
    return scaled


def noise(seconds: float, level_dbov: float, seed: int = 0) -> Float:
    """White noise at 8 kHz."""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=int(seconds * 8000)) * 32768 * 10 ** (level_dbov / 20)).astype(np.float32)


def sharpest_bend(wave: Float) -> float:
    """Largest second difference: a click stands out in it."""
    return float(np.abs(np.diff(wave.astype(np.float64), 2)).max())


@cache
def spoken(voice: str, words_per_minute: int) -> Float:
    """TEXT at 8 kHz, active level -26 dBov."""
    assert ESPEAK is not None
    with NamedTemporaryFile(suffix=".wav") as file:
        subprocess.run([ESPEAK, "-v", voice, "-s", str(words_per_minute), "-w", file.name, TEXT], check=True)
        rate, wave = wavfile.read(file.name)
    return at_level(resample_poly(wave.astype(np.float64), 8000, rate).astype(np.float32), -26)
