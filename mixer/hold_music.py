"""Detection of legs that play instead of speaking: music on hold, ringing and busy tones, steady noise (mission N8).

Speech comes in syllables: a third to a half of its frames are much quieter than its mean. Music and noise go on without
such gaps, and where tones have them, what is between the gaps is as even as no voice is. Both shares are followed per
row over some seconds of sound, from the frames' energies alone.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from .table import Columns

TICKS_PER_SECOND: Final = 50
LEAST_DBOV: Final = -45.0
"""Quieter sounds disturb nobody."""
GAP: Final = np.float32(0.25)
"""A frame with less than this share of the mean energy of the last second is a gap."""
EVEN: Final = (np.float32(0.8), np.float32(1.25))
"""Energy over that of the frame before, within which a sound is even."""
GAPS_MUSIC: Final = (0.2, 0.23)
"""With fewer gaps it is not speech; by default, and when the far side is known to hold. Speech has 0.37 and more."""
EVEN_TONE: Final = (0.75, 0.7)
"""With more even frames it is a tone. Speech has 0.4 and less."""
GAPS_SECONDS: Final = (8.0, 5.0)
EVEN_SECONDS: Final = (4.0, 3.0)
RETURN_SECONDS: Final = 2.0
"""Speech is recognised again this quickly."""
RETURN_GAPS: Final = 0.06
RETURN_EVEN: Final = 0.15
"""Hysteresis: by how much the shares must look like speech again."""
SILENT_TICKS: Final = 6 * TICKS_PER_SECOND
"""Longer than the pause of a ringing tone (4 s); then it is over."""
_UNDECIDED: Final = 0.5
_MEAN_RATE: Final = np.float32(1 / TICKS_PER_SECOND)
_LEAST: Final = np.float32(32768.0**2 * 10 ** (LEAST_DBOV / 10))
_RETURN_RATE: Final = 1 / (RETURN_SECONDS * TICKS_PER_SECOND)

Float = NDArray[np.float32]
Int = NDArray[np.int64]


def _by_sensitivity(values: tuple[float, float]) -> Float:
    return np.array(values, np.float32)


_GAPS_LIMIT: Final = _by_sensitivity(GAPS_MUSIC)
_EVEN_LIMIT: Final = _by_sensitivity(EVEN_TONE)
_GAPS_RATE: Final = 1 / (_by_sensitivity(GAPS_SECONDS) * TICKS_PER_SECOND)
_EVEN_RATE: Final = 1 / (_by_sensitivity(EVEN_SECONDS) * TICKS_PER_SECOND)


class HoldMusicDetector(Columns):
    """Which rows play.

    Attributes, one element a row: ``playing`` bool, what was found; ``expected`` bool, to be set while the signalling
    says that the far side put us on hold: less evidence and less time are then enough.
    """

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity)
        self.playing: NDArray[np.bool_] = self.column(bool)
        self.expected: NDArray[np.bool_] = self.column(bool)
        self._mean: Float = self.column(np.float32)
        """Mean energy of the last second."""
        self._last: Float = self.column(np.float32)
        self._gaps: Float = self.column(np.float32, fill=_UNDECIDED)
        """Share of gaps among the frames."""
        self._even: Float = self.column(np.float32, fill=_UNDECIDED)
        """Share of even ones among those that are no gaps."""
        self._silent: NDArray[np.int32] = self.column(np.int32)
        """Ticks of silence, of rows that play."""

    def speechlike(self, count: int) -> NDArray[np.bool_]:
        """bool[count]: nothing tells that the row's sound is not speech (a tone is steady from its first frames)."""
        result: NDArray[np.bool_] = ~self.playing[:count] & (self._even[:count] <= _UNDECIDED)
        return result

    def forget(self, row: int) -> bool:
        """Judge the row anew (the far side took us off hold). Returns whether it was playing."""
        playing, expected = bool(self.playing[row]), self.expected[row]
        self.reset(row)
        self.expected[row] = expected
        return playing

    def update(self, count: int, energy: Float) -> tuple[Int, Int]:
        """Take one tick of rows 0..count-1; returns the rows that began and those that ceased to play.

        ``energy``: float32[count], mean square of the frame in int16 scale, before any gain; 0 where none was received.
        """
        mean = self._mean[:count]
        change = energy - mean
        change *= _MEAN_RATE
        mean += change
        sounding = mean > _LEAST
        rows = np.flatnonzero(sounding)
        started = stopped = rows[:0]
        if len(rows):
            started, stopped = self._judge(rows, energy[rows], mean[rows])
        if self.playing[:count].any():
            stopped = np.concatenate((stopped, self._silence(count, energy > _LEAST)))
        return started, stopped

    def _judge(self, rows: Int, energy: Float, mean: Float) -> tuple[Int, Int]:
        playing = self.playing[rows]
        level = self.expected[rows].astype(np.intp)
        gap = energy < mean * GAP
        gaps = self._gaps[rows]
        rate = _GAPS_RATE[level]
        if playing.any():
            rate[playing] = _RETURN_RATE
        gaps += (gap - gaps) * rate
        self._gaps[rows] = gaps

        last = self._last[rows]
        self._last[rows] = energy
        evenness = (energy > last * EVEN[0]) & (energy < last * EVEN[1])
        even = self._even[rows]
        rate = _EVEN_RATE[level]
        if playing.any():
            rate[playing] = _RETURN_RATE
        even += (evenness - even) * (rate * ~gap)
        self._even[rows] = even

        gaps_limit, even_limit = _GAPS_LIMIT[level], _EVEN_LIMIT[level]
        found = (gaps < gaps_limit) | (even > even_limit)
        started = rows[found & ~playing]
        self.playing[started] = True
        self._silent[started] = 0
        stopped = started[:0]
        if playing.any():
            voice = (gaps > gaps_limit + np.float32(RETURN_GAPS)) & (even < even_limit - np.float32(RETURN_EVEN))
            stopped = rows[voice & playing]
            self.playing[stopped] = False
        return started, stopped

    def _silence(self, count: int, loud: NDArray[np.bool_]) -> Int:
        """Rows that played and have been silent for so long that it is over."""
        silent = self._silent[:count]
        silent += 1
        silent[loud] = 0
        over = np.flatnonzero(self.playing[:count] & (silent >= SILENT_TICKS))
        self.playing[over] = False
        self._gaps[over] = self._even[over] = _UNDECIDED
        return over
