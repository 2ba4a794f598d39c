"""Keypad events of all legs (RFC 4733): a receiver for each row that has ever sent one."""

from __future__ import annotations

from typing import Any

from .telephone_event import KeyPress, Receiver


class Keypad:
    """Receivers by row. Rows without events cost nothing."""

    def __init__(self) -> None:
        self._clock: dict[int, int] = {}
        self._receivers: dict[int, Receiver] = {}
        self._seen: dict[int, int] = {}
        """Tick of the newest event packet of rows whose key is down or not yet reported."""
        self._tables: tuple[dict[int, Any], ...] = (self._clock, self._receivers, self._seen)

    def expect(self, row: int, clock_rate: int) -> None:
        """Events of ``row`` count time at ``clock_rate``."""
        if self._clock.get(row) != clock_rate:
            self._clock[row] = clock_rate
            self._receivers.pop(row, None)
            self._seen.pop(row, None)

    def feed(self, row: int, payload: bytes, timestamp: int, marker: bool, tick: int) -> KeyPress | None:
        """One event packet; the press it completes."""
        receiver = self._receivers.get(row)
        if receiver is None:
            receiver = self._receivers[row] = Receiver(int(self._clock.get(row, 8000)))
        self._seen[row] = tick
        return receiver.feed(payload, timestamp, marker)

    def held(self, row: int) -> bool:
        """A key of the row is down."""
        receiver = self._receivers.get(row)
        return receiver is not None and receiver.active

    def expire(self, tick: int) -> list[tuple[int, KeyPress | None]]:
        """Rows whose event packets ceased, with the press whose end was lost, if any."""
        over: list[tuple[int, KeyPress | None]] = []
        for row, seen in list(self._seen.items()):
            receiver = self._receivers[row]
            press = receiver.expire(tick - seen)
            if press is not None or not receiver.active:
                del self._seen[row]
                over.append((row, press))
        return over

    def reset(self, row: int) -> None:
        for table in self._tables:
            table.pop(row, None)

    def move(self, src: int, dst: int) -> None:
        self.reset(dst)
        for table in self._tables:
            if src in table:
                table[dst] = table.pop(src)
