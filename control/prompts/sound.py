"""Clips of sound at 16 kHz, and how loud they are.

Levels are in dBov: a full-scale square wave is 0, a full-scale sine -3.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

RATE: Final = 16000
SILENCE_DBOV: Final = -127.0

_FRAME: Final = RATE // 100
"""10 ms."""
_ACTIVE_DB: Final = 15.9
"""Frames this much below the active level still belong to speech (ITU-T P.56)."""
_HANGOVER_FRAMES: Final = 20
_TRIM_DB: Final = 32.0
"""Softer than the active level by this much at either end is silence."""
_BEFORE_FRAMES: Final = 3
_AFTER_FRAMES: Final = 6
"""Kept of what precedes and follows: soft consonants begin and end there."""
_PEAK: Final = 29000.0
"""No sample is louder, so that coding and mixing do not clip."""

Pcm = NDArray[np.int16]
Wave = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Clip:
    """A piece of sound to be played.

    ``name`` tells what it is ("ru/greeting", "en/number-5", "pause"); ``pcm16k`` int16[n], 16 kHz, not writable;
    ``digest`` changes when and only when the sound does. Names of clips tell digits: do not log those of a PIN.
    """

    name: str
    pcm16k: Pcm
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        pcm = np.ascontiguousarray(self.pcm16k, np.int16)
        if pcm is self.pcm16k and pcm.flags.writeable:
            pcm = pcm.copy()
        pcm.flags.writeable = False
        object.__setattr__(self, "pcm16k", pcm)
        object.__setattr__(self, "digest", hashlib.blake2b(pcm.tobytes(), digest_size=8).hexdigest())

    @property
    def seconds(self) -> float:
        return len(self.pcm16k) / RATE


def pause(seconds: float) -> Clip:
    """Silence between two clips."""
    return Clip("pause", np.zeros(round(seconds * RATE), np.int16))


def to_pcm(wave: Wave) -> Pcm:
    """Rounded and limited to what int16 holds."""
    return np.clip(np.rint(wave), -32768, 32767).astype(np.int16)


def level(wave: Pcm | Wave) -> float:
    """Level in dBov over the whole length."""
    power = float(np.mean(np.square(wave, dtype=np.float64))) if len(wave) else 0.0
    return max(SILENCE_DBOV, float(10 * np.log10(max(power, 1e-12) / 32768.0**2)))


def active_level(wave: Pcm | Wave) -> float:
    """Level in dBov of what is not pause: the method of ITU-T P.56 with 10 ms frames and 200 ms of hangover."""
    power = _frame_powers(wave)
    if not len(power) or power.max() < 1.0:
        return SILENCE_DBOV
    mean = float(power.max())
    for _ in range(30):
        loud = power > mean * 10 ** (-_ACTIVE_DB / 10)
        active = np.convolve(loud, np.ones(_HANGOVER_FRAMES))[: len(loud)] > 0
        mean = float(power[active].mean())
    return float(10 * np.log10(mean / 32768.0**2))


def at_level(wave: Pcm | Wave, level_dbov: float) -> Pcm:
    """The same sound with that active level, or less where a peak would clip; silence stays silence."""
    now = active_level(wave)
    if now <= SILENCE_DBOV:
        return to_pcm(wave.astype(np.float64))
    gain = 10 ** ((level_dbov - now) / 20)
    peak = float(np.abs(wave.astype(np.float64)).max())
    return to_pcm(wave.astype(np.float64) * min(gain, _PEAK / peak))


def trim(wave: Pcm) -> Pcm:
    """Without the silence at both ends, faded over 5 ms so that nothing clicks. All silence: nothing is left."""
    power = _frame_powers(wave)
    loud = np.flatnonzero(power > 32768.0**2 * 10 ** ((active_level(wave) - _TRIM_DB) / 10))
    if not len(loud) or active_level(wave) <= SILENCE_DBOV:
        return wave[:0]
    first = max(0, int(loud[0]) - _BEFORE_FRAMES) * _FRAME
    last = (int(loud[-1]) + 1 + _AFTER_FRAMES) * _FRAME
    return faded(wave[first:last], 0.005)


def faded(wave: Pcm, seconds: float) -> Pcm:
    """Comes from silence and goes to silence within so many seconds, in half a cosine."""
    length = min(round(seconds * RATE), len(wave) // 2)
    ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(length) + 0.5) / max(length, 1))
    shaped = wave.astype(np.float64)
    shaped[:length] *= ramp
    shaped[len(shaped) - length :] *= ramp[::-1]
    return to_pcm(shaped)


def _frame_powers(wave: Pcm | Wave) -> Wave:
    """Mean square of each 10 ms, the last one filled up with silence."""
    padded = np.zeros(-(-len(wave) // _FRAME) * _FRAME)
    padded[: len(wave)] = wave
    powers: Wave = np.square(padded).reshape(-1, _FRAME).mean(axis=1)
    return powers
