"""A soft limiter for mixes instead of clipping: gain in time, and a smooth knee for what still exceeds.

Many voices add up to more than a sample can hold. Turning the sum down for as long as it is too loud sounds clean;
clipping it does not. Everybody in a conference must hear one steady level, whoever is left out of what he hears: so the
gain belongs to the conference, is found from the sum of all, and the voices that are taken out of the sum again follow
it. In the tick:

    limiter.apply(rooms, total, tick)           # the sums, in place
    limiter.follow(room_of_voice, voice)        # own frames are total - voice, limited likewise
    soften(shared); soften(own)                 # at the very end, after listening gains and resampling

Nothing is changed, to the bit, while all peaks stay below the knee.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from .table import Columns

KNEE: Final = np.float32(32768 * 10 ** (-3 / 20))
"""Samples up to -3 dBov pass as they are; the gain aims at peaks of this height."""
CEILING: Final = np.float32(32768 * 10 ** (-1 / 20))
"""No sample leaves soften() beyond -1 dBov."""
RELEASE_MS: Final = 200.0
TICK_MS: Final = 20.0
ATTACK_PARTS: Final = 8
"""The gain comes down in this part of a frame (2.5 ms)."""
_KEPT: Final = np.float32(np.exp(-TICK_MS / RELEASE_MS))
_OPEN: Final = np.float32(0.999)
"""A gain this near 1 becomes 1."""

Float = NDArray[np.float32]
Int = NDArray[np.int64]


class Limiter(Columns):
    """One gain per conference; ``slots`` are the conferences' indices, distinct within a call of apply()."""

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity)
        self._gain: Float = self.column(np.float32, fill=1)
        self._before: Float = self.column(np.float32, fill=1)
        """Gain at the beginning of the frame that ``_gain`` is the end of."""
        self._tick: Int = self.column(np.int64)
        """When the slot's gain was last below 1."""
        self._limiting = False
        """Some slot's gain may be below 1."""
        self._courses: dict[int, tuple[Float, Float]] = {}

    def apply(self, slots: Int, frames: Float, tick: int) -> None:
        """Limit the sums float32[len(slots), samples] of this tick in place. Any number of samples a frame."""
        if not len(slots) or (not self._limiting and _within(frames)):
            return
        peak = np.maximum(frames.max(axis=1), -frames.min(axis=1))
        before = self._gain[slots]
        idle = np.maximum(tick - self._tick[slots] - 1, 0)
        before = 1 - (1 - before) * _KEPT ** idle.astype(np.float32)
        gain = 1 - (1 - before) * _KEPT
        gain[gain > _OPEN] = 1
        np.minimum(gain, KNEE / np.maximum(peak, KNEE), out=gain)
        self._before[slots] = before
        self._gain[slots] = gain
        self._tick[slots] = tick
        self._limiting = bool((self._gain < 1).any() or (self._before < 1).any())
        self.follow(slots, frames)

    def follow(self, slots: Int, frames: Float) -> None:
        """Give frames the gain that apply() gave to their slots in this tick: voices that are part of the sums."""
        if not self._limiting:
            return
        before, gain = self._before[slots], self._gain[slots]
        at = np.flatnonzero((before != 1) | (gain != 1))
        if not len(at):
            return
        down, up = self._course(frames.shape[1])
        before, gain = before[at, None], gain[at, None]
        frames[at] *= before + (gain - before) * np.where(gain < before, down, up)

    def _course(self, size: int) -> tuple[Float, Float]:
        """How far the gain has come at each sample, going down and going up."""
        known = self._courses.get(size)
        if known is None:
            reach = np.arange(1, size + 1, dtype=np.float32)
            known = np.minimum(reach * ATTACK_PARTS / size, 1).astype(np.float32), reach / np.float32(size)
            self._courses[size] = known
        return known


def soften(frames: Float) -> None:
    """Bend what exceeds the knee below the ceiling, in place: a smooth curve, slope 1 at the knee."""
    if not frames.size or _within(frames):
        return
    rows = np.flatnonzero(np.maximum(frames.max(axis=1), -frames.min(axis=1)) > KNEE)
    loud = frames[rows]
    height = np.abs(loud)
    room = CEILING - KNEE
    bent = np.tanh(np.maximum(height - KNEE, 0) / room)
    bent *= room
    bent += np.minimum(height, KNEE)
    frames[rows] = np.copysign(bent, loud)


def _within(frames: Float) -> bool:
    return bool(frames.max() <= KNEE and frames.min() >= -KNEE)
