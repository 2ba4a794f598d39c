"""What makes a conference sound good: who is in the mix, at what level, and what is kept out of it.

Per tick: ``listen`` looks at every row's frame, ``pick`` says whose voice is in the mix, ``treat`` brings those voices
to their level; ``limiter`` keeps the sums in bounds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .hold_music import HoldMusicDetector
from .legs import Legs
from .levels import TalkDetector
from .limiter import Limiter
from .loudness import Leveller
from .rooms import Rooms
from .table import Columns
from .talkers import TalkerSelector

GATE = np.float32(24.0**2)
"""Mean square below which a frame is silence (-63 dBov), whatever the leg's noise: A-law's own zero stays out."""
HOLD = 20
"""Ticks for which a leg stays in the mix after it was last above its gate: pauses between words are not cut out."""

Float = NDArray[np.float32]
Int = NDArray[np.int64]
Bool = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Changes:
    """Rows for which something began or ended in this tick."""

    talk: Int
    silence: Int
    music: Int
    music_over: Int


class Sound(Columns):
    """Sound state of all rows, and of all conferences (as many as rows at most)."""

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity)
        self.talk = TalkDetector(capacity)
        self.music = HoldMusicDetector(capacity)
        self.levels = Leveller(capacity)
        self.talkers = TalkerSelector(capacity)
        self.limiter = Limiter(capacity)
        self.hold: Int = self.column(np.int64)
        """Ticks for which the row stays in the mix."""
        self._mixed: Bool = self.column(bool)
        """The row was in the mix in the tick before."""
        self._kept_out: Bool = self.column(bool)
        """It would have been, but was not let in."""
        self._any_kept_out = False
        self._parts = (self.talk, self.music, self.levels, self.talkers)
        self._gains = False

    def reset(self, row: int) -> None:
        super().reset(row)
        for part in self._parts:
            part.reset(row)

    def move(self, src: int, dst: int) -> None:
        super().move(src, dst)
        for part in self._parts:
            part.move(src, dst)

    def forget_room(self, room: int) -> None:
        self.limiter.reset(room)

    def plan(self, legs: Legs, rooms: Rooms) -> None:
        """Legs came, went or were set."""
        count = legs.count
        room = legs.room[:count]
        self.levels.enabled[:count] = legs.levelled[:count] & rooms.levelled[room]
        self.music.expected[:count] = ~legs.sends[:count]
        self._gains = bool((legs.talk_gain[:count] != 1).any())

    def listen(self, count: int, energy: Float, there: Bool) -> Changes:
        """Take in one tick of rows 0..count-1: ``energy`` mean square of each frame, ``there``: it was received."""
        music, over = self.music.update(count, energy)
        talk, silence = self.talk.update(count, energy, there)
        self.levels.update(count, energy, self.talk.talking[:count] & self.music.speechlike(count))
        hold = self.hold[:count]
        hold -= 1
        np.maximum(hold, 0, out=hold)
        hold[energy > self.talk.gate(count, GATE)] = HOLD
        return Changes(talk, silence, music, over)

    def pick(self, legs: Legs, rooms: Rooms, energy: Float) -> Int:
        """Rows whose voice is in the mix: above their gate, not muted, and among the loudest of their conference."""
        count = legs.count
        audible = self.hold[:count] > 0
        heard = audible & legs.hears[:count] & ~legs.mute[:count] & ~legs.key_held[:count]
        playing = self.music.playing[:count]
        if playing.any():
            heard &= ~(playing & (rooms.silences_music[legs.room[:count]] | self.music.expected[:count]))
        rows = np.flatnonzero(heard)
        rows = rows[self.talkers.select(rows, legs.room[rows], energy[rows], rooms.talkers)]
        return self._turn(rows, audible & ~heard)

    def _turn(self, rows: Int, kept_out: Bool) -> Int:
        """Who is muted or unmuted in the middle of a sound is faded: rows that are in the mix in this tick."""
        count = len(kept_out)
        any_kept_out = bool(kept_out.any())
        leaving = rows[:0]
        if any_kept_out or self._any_kept_out:
            leaving = np.flatnonzero(kept_out & self._mixed[:count])
            self.talkers.turn(rows[self._kept_out[rows]], leaving)
            self._kept_out[:count] = kept_out
            self._any_kept_out = any_kept_out
        self._mixed[:count] = False
        self._mixed[rows] = True
        return np.sort(np.concatenate((rows, leaving))) if len(leaving) else rows

    def treat(self, legs: Legs, rows: Int, frames: Float) -> None:
        """Bring the voices float32[len(rows), samples] of picked rows to their level, in place."""
        self.levels.apply(rows, frames)
        self.talkers.fade(rows, frames)
        if self._gains:
            frames *= legs.talk_gain[rows][:, None]
