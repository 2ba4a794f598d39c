"""Deadlines of many things behind one timer."""

from __future__ import annotations

import heapq


class Schedule:
    """When what is due. Changing a deadline costs O(log n); outdated heap entries are dropped when they come up."""

    def __init__(self) -> None:
        self._due: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []

    def __len__(self) -> int:
        return len(self._due)

    def set(self, key: str, when: float | None) -> None:
        """``key`` is due at ``when``; None: never."""
        if when is None:
            self._due.pop(key, None)
        elif self._due.get(key) != when:
            self._due[key] = when
            heapq.heappush(self._heap, (when, key))
            if len(self._heap) > 2 * len(self._due) + 64:
                self._heap = [(when, key) for key, when in self._due.items()]
                heapq.heapify(self._heap)

    def next(self) -> float | None:
        """The earliest deadline."""
        while self._heap and self._due.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def take(self, now: float) -> list[str]:
        """What is due, earliest first; it is no longer scheduled."""
        keys = []
        while (when := self.next()) is not None and when <= now:
            _, key = heapq.heappop(self._heap)
            del self._due[key]
            keys.append(key)
        return keys
