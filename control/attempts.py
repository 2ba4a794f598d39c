"""Who guesses PINs is stopped: wrong attempts counted per caller over a window of time."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

MAX_KEYS = 10_000


@dataclass(slots=True)
class _Count:
    since: float
    wrong: int


class Attempts:
    """After ``limit`` wrong attempts within ``seconds`` a key is blocked until that window is over.

    Remembers at most MAX_KEYS keys; the one counted longest ago makes room, so memory stays bounded under a flood.
    """

    def __init__(self, limit: int, seconds: float) -> None:
        self._limit = limit
        self._seconds = seconds
        self._counts: dict[Hashable, _Count] = {}

    def blocked(self, key: Hashable, now: float) -> bool:
        count = self._counts.get(key)
        if count is None:
            return False
        if now - count.since >= self._seconds:
            del self._counts[key]
            return False
        return count.wrong >= self._limit

    def wrong(self, key: Hashable, now: float) -> None:
        """A wrong attempt was made."""
        if key in self._counts and now - self._counts[key].since < self._seconds:
            self._counts[key].wrong += 1
            return
        self._counts.pop(key, None)
        if len(self._counts) >= MAX_KEYS:
            del self._counts[next(iter(self._counts))]
        self._counts[key] = _Count(now, 1)

    def right(self, key: Hashable) -> None:
        """The key has shown that it knows; what it got wrong before is forgiven."""
        self._counts.pop(key, None)
