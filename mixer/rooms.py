"""Conferences as the mixer sees them: an index per conference that has legs, and the rate it mixes at."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .protocol import RoomSettings

DEFAULT_ROOM = RoomSettings()
NO_LIMIT = 1 << 30


class Rooms:
    """Hands out small indices for conference names; an index is given back with the conference's last leg."""

    def __init__(self, capacity: int) -> None:
        self.index_of: dict[str, int] = {}
        self.legs: NDArray[np.int64] = np.zeros(capacity, np.int64)
        self.rate: NDArray[np.int64] = np.full(capacity, 8000, np.int64)
        self.levelled: NDArray[np.bool_] = np.zeros(capacity, np.bool_)
        self.silences_music: NDArray[np.bool_] = np.zeros(capacity, np.bool_)
        self.talkers: NDArray[np.int64] = np.zeros(capacity, np.int64)
        """Most voices in the mix at once."""
        self._names: dict[int, str] = {}
        self._free: list[int] = list(range(capacity - 1, -1, -1))

    def enter(self, conference: str, settings: RoomSettings = DEFAULT_ROOM) -> int:
        """Index of the conference, one leg more in it. Every leg may have a conference of its own."""
        index = self.index_of.get(conference)
        if index is None:
            index = self._free.pop()
            self.index_of[conference] = index
            self._names[index] = conference
        self.legs[index] += 1
        self.set(index, settings)
        return index

    def set(self, index: int, settings: RoomSettings) -> None:
        """How the conference sounds from now on."""
        self.levelled[index] = settings.levelling
        self.silences_music[index] = settings.silence_music
        self.talkers[index] = settings.talkers or NO_LIMIT

    def leave(self, index: int) -> bool:
        """One leg less; True when it was the last and the index is free again."""
        self.legs[index] -= 1
        if self.legs[index]:
            return False
        del self.index_of[self._names.pop(index)]
        self._free.append(index)
        return True

    def plan_rates(self, room: NDArray[np.int64], rate: NDArray[np.int64]) -> None:
        """A conference mixes at the highest rate among its legs (``room`` and ``rate`` one element a leg)."""
        self.rate[:] = 8000
        np.maximum.at(self.rate, room, rate)

    def __len__(self) -> int:
        return len(self.index_of)
