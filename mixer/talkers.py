"""Who is in the mix when many speak at once: the loudest of each conference, without chopping anybody's words.

While a conference has no more voices than places, everyone is in from his first frame. When there are more, a talker
keeps his place against others as loud as he was in the last 400 ms; only somebody 6 dB louder than that for two frames
takes the place of the weakest. Who comes or goes in the middle of a sound does so by a short fade.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from .table import Columns

CHALLENGE: Final = np.float32(10**0.6)
"""A challenger's energy over that of the talker he displaces (6 dB)."""
KEEP_TICKS: Final = 20
"""A talker counts as loud as he was for 400 ms."""
DECAY: Final = np.float32(0.5)
"""Per tick from then on (150 dB a second)."""
FADE_PARTS: Final = 4
"""Fades take this part of a frame (5 ms)."""

Float = NDArray[np.float32]
Int = NDArray[np.int64]
Bool = NDArray[np.bool_]

_NEVER: Final = -(1 << 40)


class TalkerSelector(Columns):
    """Places of talkers in the mixes of their conferences; one call of select() is one tick."""

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity)
        self._now = 0
        self._chosen: Int = self.column(np.int64, fill=_NEVER)
        """Tick in which the row last had a place."""
        self._left_out: Int = self.column(np.int64, fill=_NEVER)
        """Tick in which the row was last a candidate without a place."""
        self._loud: Int = self.column(np.int64, fill=_NEVER)
        """Tick of the row's loudness."""
        self._loudness: Float = self.column(np.float32)
        self._energy: Float = self.column(np.float32)
        """Of the row's frame before, for challengers."""
        self._entering: Bool = self.column(bool)
        self._leaving: Bool = self.column(bool)
        self._fading = False
        self._crowded = False
        """Somebody was left out in the tick before."""
        self._ramps: dict[int, Float] = {}

    def select(self, rows: Int, rooms: Int, energy: Float, limit: int | Int) -> Bool:
        """bool[len(rows)], which of the candidates are mixed now.

        ``rows``: distinct rows that could be heard (audible and not muted), ``rooms``: the conference of each,
        ``energy``: float32, mean square of each one's frame, ``limit``: places of every conference, or int64 indexed by
        conference. A row that just lost its place is still in for the one frame in which fade() lets it out.
        """
        self._now += 1
        if self._fading:
            self._fading = False
            self._entering[:] = False
            self._leaving[:] = False
        loudness = self._note_loudness(rows, energy)
        count = np.bincount(rooms)
        crowd = count > (limit[: len(count)] if isinstance(limit, np.ndarray) else limit)
        chosen = np.ones(len(rows), np.bool_)
        if crowd.any():
            at = np.flatnonzero(crowd[rooms])
            chosen[at] = self._compete(rows[at], rooms[at], energy[at], loudness[at], limit)
        elif not self._crowded:
            self._chosen[rows] = self._now
            self._energy[rows] = energy
            return chosen
        return self._turn(rows, energy, chosen)

    def turn(self, entering: Int, leaving: Int) -> None:
        """After select(): fade these rows in, and those out, that come and go in the middle of a sound for other
        reasons."""
        self._entering[entering] = True
        self._leaving[leaving] = True
        self._fading = self._fading or bool(len(entering) or len(leaving))

    def fade(self, rows: Int, frames: Float) -> None:
        """Fade in and out, in place, the frames float32[len(rows), samples] of selected rows that need it now."""
        if not self._fading:
            return
        size = frames.shape[1]
        ramp = self._ramps.get(size)
        if ramp is None:
            ramp = np.minimum(np.arange(1, size + 1, dtype=np.float32) * FADE_PARTS / size, 1).astype(np.float32)
            self._ramps[size] = ramp
        frames[self._entering[rows]] *= ramp
        frames[self._leaving[rows]] *= 1 - ramp

    def _note_loudness(self, rows: Int, energy: Float) -> Float:
        """float32[len(rows)], the loudness of each: its loudest frame of the last 400 ms, fading away from then on."""
        loudness = self._loudness[rows]
        late = self._now - self._loud[rows] - KEEP_TICKS
        stale = np.flatnonzero(late > 0)
        if len(stale):
            loudness[stale] *= DECAY ** np.minimum(late[stale], 100).astype(np.float32)
        louder = np.flatnonzero(energy >= loudness)
        loudness[louder] = energy[louder]
        self._loudness[rows[louder]] = energy[louder]
        self._loud[rows[louder]] = self._now
        return loudness

    def _compete(self, rows: Int, rooms: Int, energy: Float, loudness: Float, limit: int | Int) -> Bool:
        """Which of the candidates of crowded conferences have the best claims to a place."""
        holds = self._chosen[rows] == self._now - 1
        before = np.where(self._left_out[rows] == self._now - 1, self._energy[rows], 0)
        claim = np.where(holds, loudness * CHALLENGE, np.minimum(energy, before))
        order = np.lexsort((-energy, -claim, rooms))
        ordered = rooms[order]
        first = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
        sizes = np.diff(np.append(first, len(ordered)))
        rank = np.arange(len(ordered)) - np.repeat(first, sizes)
        chosen = np.empty(len(rows), np.bool_)
        chosen[order] = rank < (limit[ordered] if isinstance(limit, np.ndarray) else limit)
        return chosen

    def _turn(self, rows: Int, energy: Float, chosen: Bool) -> Bool:
        """Note who has a place and who has none, and let those fade who come or go in the middle of a sound."""
        held = self._chosen[rows] == self._now - 1
        waited = self._left_out[rows] == self._now - 1
        entering, leaving = rows[chosen & waited], rows[held & ~chosen]
        self._entering[entering] = True
        self._leaving[leaving] = True
        self._fading = bool(len(entering) or len(leaving))
        self._chosen[rows[chosen]] = self._now
        self._left_out[rows[~chosen]] = self._now
        self._energy[rows] = energy
        self._crowded = not chosen.all()
        mixed: Bool = chosen | held
        return mixed
