"""Timers without a clock: a heap of deadlines in seconds, driven by whoever knows the time.

The default values are those of RFC 3261 section 17 (table 4) and RFC 6026.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

T1 = 0.5
"""Estimate of the round-trip time."""
T2 = 4.0
"""The longest interval between retransmissions of a non-INVITE request or an INVITE response."""
T4 = 5.0
"""How long a message may stay in the network."""
TIMEOUT = 64 * T1
"""Timers B, D, F, H, J, L and M."""

Callback = Callable[[float], None]


class Timer:
    """One deadline; ``cancel`` may be called at any time, also after it has fired."""

    __slots__ = ("_callback", "_queue", "at")

    def __init__(self, at: float, callback: Callback, queue: TimerQueue) -> None:
        self.at = at
        self._callback: Callback | None = callback
        self._queue = queue

    @property
    def pending(self) -> bool:
        return self._callback is not None

    def cancel(self) -> None:
        if self._callback is not None:
            self._callback = None
            self._queue.note_cancelled()

    def fire(self, now: float) -> None:
        callback, self._callback = self._callback, None
        if callback is not None:
            callback(now)


class TimerQueue:
    """Deadlines in order. A cancelled one lets go of its callback at once and of its heap entry soon after."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._serial = 0
        self._cancelled = 0

    def __len__(self) -> int:
        """How many deadlines are pending."""
        return len(self._heap) - self._cancelled

    def at(self, deadline: float, callback: Callback) -> Timer:
        """Call ``callback(now)`` when ``run`` is next called at or after ``deadline``."""
        timer = Timer(deadline, callback, self)
        self._serial += 1
        heapq.heappush(self._heap, (deadline, self._serial, timer))
        return timer

    def next(self) -> float | None:
        """The earliest pending deadline."""
        heap = self._heap
        while heap and not heap[0][2].pending:
            heapq.heappop(heap)
            self._cancelled -= 1
        return heap[0][0] if heap else None

    def run(self, now: float) -> None:
        """Fire everything due, in order of deadlines; what a callback sets for ``now`` or earlier fires too."""
        while (first := self.next()) is not None and first <= now:
            heapq.heappop(self._heap)[2].fire(now)

    def note_cancelled(self) -> None:
        """Keep the heap from filling with the dead: most timers of a call are cancelled, not fired. An eighth of them
        costs little memory, and sweeping so often little time (8 steps a timer)."""
        self._cancelled += 1
        if self._cancelled > 64 and self._cancelled * 8 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].pending]
            heapq.heapify(self._heap)
            self._cancelled = 0
