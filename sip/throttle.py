"""Growing delays after failed sign-ins, against guessing of passwords."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass


@dataclass(slots=True)
class _Record:
    failures: int = 0
    last: float = 0.0
    until: float = 0.0


class Throttle:
    """Counts failures per key. After ``free`` of them each further one locks the key, twice as long every time.

    A key is forgotten ``forget`` seconds after its last failure; the least recently failing go first when more than
    ``max_keys`` are known.
    """

    def __init__(
        self, free: int, first: float = 2.0, longest: float = 600.0, forget: float = 1800.0, max_keys: int = 20000
    ) -> None:
        self._free = free
        self._first = first
        self._longest = longest
        self._forget = forget
        self._max_keys = max_keys
        self._records: OrderedDict[str, _Record] = OrderedDict()

    def wait(self, key: str, now: float) -> float:
        """Seconds until the key may try again, 0 when it may."""
        record = self._records.get(key)
        return max(0.0, record.until - now) if record is not None else 0.0

    def fail(self, key: str, now: float) -> None:
        """Note a failure."""
        record = self._records.setdefault(key, _Record())
        if now - record.last > self._forget:
            record.failures = 0
        self._records.move_to_end(key)
        record.failures += 1
        record.last = now
        excess = record.failures - self._free
        if excess > 0:
            record.until = now + min(self._longest, self._first * 2.0 ** min(excess - 1, 30))
        while len(self._records) > self._max_keys:
            self._records.popitem(last=False)

    def succeed(self, key: str) -> None:
        """Forget the key's failures."""
        self._records.pop(key, None)

    def __len__(self) -> int:
        return len(self._records)
