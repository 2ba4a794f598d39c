"""Comfort noise: what a conference sounds like when nobody speaks, so that the line does not seem dead.

One piece of noise 10 s long, shaped like a quiet room (less and less power towards the high frequencies), whose end
runs on into its beginning. It is played in order, so there is no seam anywhere, and nobody hears that it comes again.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .g711 import ENCODE, PCMA, PCMU

FRAMES: Final = 512
LEVEL_DBOV: Final = -63.0
TICKS_PER_SECOND: Final = 50
_PASS_HZ: Final = (60.0, 7000.0)
_CORNER_HZ: Final = 250.0
"""From here on the power falls by 6 dB an octave."""
_REFERENCE_RATE: Final = 8000

Float = NDArray[np.float32]


@cache
def shared_noise() -> ComfortNoise:
    """The noise of this process. It takes some 60 ms to make, so it is to be asked for before there is a tick."""
    noise = ComfortNoise()
    for rate in (8000, 16000, 48000):
        noise.samples(rate, 0)
    return noise


class ComfortNoise:
    """The noise at every rate and in every law, the same sound everywhere; other rates are made when first asked for.

    ``level_dbov``: its level in the telephone band. ``seed``: another seed is another noise.
    """

    def __init__(self, level_dbov: float = LEVEL_DBOV, seed: int = 0) -> None:
        seconds = FRAMES / TICKS_PER_SECOND
        lines = int(_PASS_HZ[1] * seconds)
        hertz = np.arange(lines) / seconds
        rng = np.random.default_rng(seed)
        spectrum = rng.normal(size=lines) + 1j * rng.normal(size=lines)
        spectrum *= 1 / np.sqrt(1 + (hertz / _CORNER_HZ) ** 2)
        spectrum *= hertz >= _PASS_HZ[0]
        self._hertz = hertz
        self._spectrum = spectrum
        band = self._synthesise(_REFERENCE_RATE)
        rms = 32768 * 10 ** (level_dbov / 20)
        self._spectrum = spectrum * (rms / np.sqrt(np.mean(band**2)))
        self._samples: dict[int, Float] = {}
        codes = np.rint(self._synthesise(_REFERENCE_RATE)).astype(np.int16).view(np.uint16)
        self._codes = np.stack([ENCODE[law][codes] for law in (PCMU, PCMA)], axis=1)

    def g711(self, tick: int) -> NDArray[np.uint8]:
        """uint8[2, 160]: this tick's frame as PCMU and as PCMA, indexed by law."""
        frame: NDArray[np.uint8] = self._codes[tick % FRAMES]
        return frame

    def samples(self, rate: int, tick: int) -> Float:
        """float32[rate / 50], this tick's frame at 8000, 16000 or 48000 samples a second; not to be written to."""
        made = self._samples.get(rate)
        if made is None:
            made = self._samples[rate] = self._synthesise(rate).astype(np.float32)
            made.setflags(write=False)
        frame: Float = made[tick % FRAMES]
        return frame

    def _synthesise(self, rate: int) -> NDArray[np.float64]:
        """float64[FRAMES, rate / 50]."""
        total = FRAMES * rate // TICKS_PER_SECOND
        bins = np.zeros(total // 2 + 1, np.complex128)
        # what is left of a telephone channel below half its rate, so that nothing lies at the very edge
        audible = np.count_nonzero(self._hertz < 0.45 * rate)
        bins[:audible] = self._spectrum[:audible]
        wave: NDArray[np.float64] = np.fft.irfft(bins, total) * (total / FRAMES)
        return wave.reshape(FRAMES, -1)
