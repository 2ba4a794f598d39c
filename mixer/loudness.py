"""Loudness levelled across legs (mission N9): a slow gain per row that brings everybody's speech to one level.

The measure is the active speech level in the sense of ITU-T P.56: mean power over the time somebody speaks, pauses left
out. The gain only moves while its row speaks, so silence and noise are never pumped up.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from .table import Columns

TICKS_PER_SECOND: Final = 50
TARGET_DBOV: Final = -26.0
"""Nominal active speech level of telephone channels, as ITU-T P.56 and P.830 have it."""
LOWEST_DB: Final = -12.0
HIGHEST_DB: Final = 15.0
RISE_DB: Final = 3.0 / TICKS_PER_SECOND
FALL_DB: Final = 6.0 / TICKS_PER_SECOND
FIRST_RISE_DB: Final = 12.0 / TICKS_PER_SECOND
FIRST_FALL_DB: Final = 30.0 / TICKS_PER_SECOND
FIRST_TICKS: Final = 75
"""So long (1.5 s of speech) the gain may move at the first rates: nobody is used to it yet."""
LEAST_TICKS: Final = 5
"""A gain is not derived from less speech than this: words begin quietly."""
WINDOW_TICKS: Final = 200
"""Speech that the level is measured over (4 s, exponential)."""
SLACK_DB: Final = 1.0
"""A level this near the target is left alone, so that the gain rests instead of following every syllable."""
NOISE_CEILING_DBOV: Final = -48.0
"""Where the gain stops raising a row's own noise to."""
_NOISE_RANGE_DBOV: Final = (-66.0, -20.0)
_NOISE_RISE_DB: Final = 2.0 / TICKS_PER_SECOND
_NOISE_FALL: Final = np.float32(0.1)
_FULL_SCALE: Final = 32768.0**2

Float = NDArray[np.float32]


def _power(level_dbov: float) -> np.float32:
    """Mean square in int16 scale."""
    return np.float32(_FULL_SCALE * 10 ** (level_dbov / 10))


_NOISE_START: Final = _power(-63.0)
_NOISE_LOW: Final = _power(_NOISE_RANGE_DBOV[0])
_NOISE_HIGH: Final = _power(_NOISE_RANGE_DBOV[1])
_NOISE_STEP: Final = np.float32(10 ** (_NOISE_RISE_DB / 10))
_TARGET: Final = _power(TARGET_DBOV)
_NOISE_CEILING: Final = _power(NOISE_CEILING_DBOV)


class Leveller(Columns):
    """Gains of all rows. ``enabled`` bool, one a row, may be set at any time; switched off a gain glides back to 1."""

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity)
        self.enabled: NDArray[np.bool_] = self.column(bool, fill=True)
        self._gain: Float = self.column(np.float32, fill=1)
        self._before: Float = self.column(np.float32, fill=1)
        """Gain at the end of the tick before."""
        self._level: Float = self.column(np.float32)
        """Mean power while speaking."""
        self._spoken: NDArray[np.int32] = self.column(np.int32)
        """Ticks of speech measured, up to WINDOW_TICKS."""
        self._noise: Float = self.column(np.float32, fill=_NOISE_START)
        self._ramps: dict[int, Float] = {}

    def update(self, count: int, energy: Float, speech: NDArray[np.bool_]) -> Float:
        """Take one tick of rows 0..count-1; returns their gains now, float32[count], a view that the next tick changes.

        ``energy``: float32[count], mean square of the frame in int16 scale, before any gain. ``speech``: bool[count],
        the row speaks (TalkDetector.talking, less what HoldMusicDetector found to be none).
        """
        gain = self._gain[:count]
        self._before[:count] = gain
        self._note_noise(count, energy, speech)
        enabled = self.enabled[:count]
        rows = np.flatnonzero(speech & enabled)
        if len(rows):
            self._follow(rows, energy[rows])
        if not enabled.all():
            rows = np.flatnonzero((gain != 1) & ~enabled)
            if len(rows):
                wanted = np.zeros(len(rows), np.float32)
                self._glide(rows, wanted, np.float32(FALL_DB), np.float32(-FALL_DB), np.float32(0))
        return gain

    def apply(self, rows: NDArray[np.int64], frames: Float) -> None:
        """Multiply float32[len(rows), samples] in place, each gain moving evenly over the frame: no step, no click."""
        before, now = self._before[rows], self._gain[rows]
        moving = before != now
        if moving.any():
            size = frames.shape[1]
            ramp = self._ramps.get(size)
            if ramp is None:
                ramp = self._ramps[size] = (np.arange(1, size + 1) / size).astype(np.float32)
            at = np.flatnonzero(moving)
            course = (now - before)[at, None] * ramp
            course += before[at, None]
            frames[at] *= course
            now[at] = 1
        if (now != 1).any():
            frames *= now[:, None]

    def gain_db(self, row: int) -> float:
        return float(20 * np.log10(self._gain[row]))

    def _note_noise(self, count: int, energy: Float, speech: NDArray[np.bool_]) -> None:
        """Follow the noise in the pauses: quickly down, slowly up, as a word's first frames are not yet speech."""
        noise = self._noise[:count]
        toward = noise * _NOISE_STEP
        np.minimum(toward, noise + (energy - noise) * _NOISE_FALL, out=toward)
        np.copyto(toward, noise, where=speech)
        np.maximum(toward, _NOISE_LOW, out=toward)
        np.minimum(toward, _NOISE_HIGH, out=noise)

    def _follow(self, rows: NDArray[np.int64], energy: Float) -> None:
        spoken = self._spoken[rows] + 1
        level = self._level[rows]
        level += (energy - level) / spoken
        self._level[rows] = level
        self._spoken[rows] = np.minimum(spoken, WINDOW_TICKS)
        enough = spoken >= LEAST_TICKS
        if not enough.all():
            rows, level, spoken = rows[enough], level[enough], spoken[enough]
        np.maximum(level, 1, out=level)
        allowed = np.maximum(_NOISE_CEILING / self._noise[rows], 1)
        wanted = np.log10(np.minimum(_TARGET / level, allowed))
        wanted *= 10
        np.maximum(wanted, LOWEST_DB, out=wanted)
        np.minimum(wanted, HIGHEST_DB, out=wanted)
        first = spoken < FIRST_TICKS
        rise = np.where(first, np.float32(FIRST_RISE_DB), np.float32(RISE_DB))
        fall = np.where(first, np.float32(-FIRST_FALL_DB), np.float32(-FALL_DB))
        self._glide(rows, wanted, rise, fall, np.float32(SLACK_DB))

    def _glide(
        self, rows: NDArray[np.int64], wanted: Float, rise: Float | np.float32, fall: Float | np.float32,
        slack: np.float32,
    ) -> None:  # fmt: skip
        """One step of the gains towards ``wanted`` dB."""
        gain = self._gain[rows]
        now = np.log10(gain)
        now *= 20
        step = wanted - now
        far = np.abs(step) > slack
        np.minimum(step, rise, out=step)
        np.maximum(step, fall, out=step)
        now += step
        now *= np.float32(1 / 20)
        self._gain[rows] = np.where(far, np.power(np.float32(10), now), gain)
