"""Keypad digits as RTP telephone-event packets (RFC 4733): a receiver and a sender, both for one leg.

A payload is event code (8 bits), E bit, R bit, volume (6 bits), duration (16 bits, timestamp units). All packets of
one event carry the timestamp of its beginning; the last one is sent three times with the E bit.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

DIGITS: Final = "0123456789*#ABCD"
"""A digit's place is its event code (RFC 4733 section 3.2)."""

SILENT_TICKS: Final = 5
"""After more ticks than these without a packet the key has been let go, whatever was lost (100 ms: senders repeat
every 20 to 50 ms)."""
REORDER_SECONDS: Final = 2
"""A timestamp this much older than the current event's is a late packet; one still older, a sender that began anew."""

_END: Final = 0x80
_LONGEST: Final = 0xFFFF
_STEP_MS: Final = 20
_END_PACKETS: Final = 3


@dataclass(frozen=True, slots=True)
class KeyPress:
    """A key was pressed and let go."""

    digit: str
    """One of 0-9, *, #, A-D."""
    duration_ms: int


@dataclass(slots=True)
class _Event:
    """One key press as far as it is known; ``timestamp`` and ``duration`` are those of its newest segment."""

    code: int
    start: int
    timestamp: int
    duration: int = 0
    elapsed: int = 0
    """Length of the segments before the newest one (RFC 4733 section 2.5.1.3)."""
    ended: bool = False
    reported: bool = False

    def continued_by(self, timestamp: int, marker: bool) -> bool:
        """Whether ``timestamp`` begins the next segment: where the full one ends, by count or as far as we saw it."""
        length = _distance(timestamp, self.timestamp)
        return not marker and (length == _LONGEST or (length == self.duration and length > _LONGEST // 2))


class Receiver:
    """Turns event packets into key presses, each reported exactly once, whatever is lost, repeated or reordered.

    ``active`` is True while a key is held: the tone the phone may send besides must stay out of the mix.
    """

    def __init__(self, clock_rate: int) -> None:
        self.active = False
        self._clock_rate = clock_rate
        self._event: _Event | None = None

    def feed(self, payload: bytes, timestamp: int, marker: bool) -> KeyPress | None:
        """Take one packet; ``timestamp`` and ``marker`` are the RTP header's. Foreign bytes and other events (flash,
        fax) are ignored.

        A press is reported with the first packet that carries its end; a press whose end was lost, when the next one
        begins (if that packet carries an end too, the next one is reported by its repetition or by expire()).
        """
        if len(payload) < 4:
            return None
        code, flags, duration = struct.unpack_from("!BBH", payload)
        if code >= len(DIGITS):
            return None
        event = self._event
        lost_end: KeyPress | None = None
        if event is None or timestamp != event.timestamp or code != event.code:
            if event is not None and self._is_late(timestamp, event):
                return None
            if event is not None and code == event.code and not event.ended and event.continued_by(timestamp, marker):
                event.elapsed += _distance(timestamp, event.timestamp)
                event.timestamp = timestamp
                event.duration = 0
            else:
                lost_end = self._report()
                event = self._event = _Event(code, timestamp, timestamp)
        event.duration = max(event.duration, duration)
        event.ended = event.ended or bool(flags & _END)
        self.active = not event.ended
        if lost_end is not None or not event.ended:
            return lost_end
        return self._report()

    def expire(self, ticks_since_last: int) -> KeyPress | None:
        """Tell how many ticks of 20 ms went by without an event packet; returns the press whose end was lost.

        A press that ended in the packet that revealed the one before comes at once.
        """
        if ticks_since_last <= SILENT_TICKS and (self._event is None or not self._event.ended):
            return None
        self.active = False
        return self._report()

    def _is_late(self, timestamp: int, event: _Event) -> bool:
        """Whether the packet belongs to an event, or a segment, before the newest."""
        reach = REORDER_SECONDS * self._clock_rate + _distance(event.timestamp, event.start)
        return 0 < _distance(event.timestamp, timestamp) <= reach

    def _report(self) -> KeyPress | None:
        event = self._event
        if event is None or event.reported:
            return None
        length = event.elapsed + event.duration
        if length == 0:  # a state, not a press (RFC 4733 section 2.3.5); longer packets of it may still come
            return None
        event.reported = True
        return KeyPress(DIGITS[event.code], round(length * 1000 / self._clock_rate))


class Sender:
    """The packets of one key press, one for each step of 20 ms."""

    def __init__(self, digit: str, duration_ms: int, timestamp: int, clock_rate: int = 8000, volume: int = 10) -> None:
        """``timestamp``: RTP timestamp of the key going down. ``volume``: dBm0 below zero, 0 to 63.

        Raises ValueError for a digit that no keypad has, or a press without length.
        """
        if len(digit) != 1 or digit.upper() not in DIGITS:
            raise ValueError(f"digit: no keypad has {digit!r}")
        if duration_ms <= 0:
            raise ValueError(f"duration_ms: {duration_ms} is not a length")
        if not 0 <= volume <= 63:
            raise ValueError(f"volume: {volume} is not within 0 to 63")
        self._code = DIGITS.index(digit.upper())
        self._length = duration_ms * clock_rate // 1000
        self._step = clock_rate * _STEP_MS // 1000
        self._timestamp = timestamp
        self._volume = volume

    def __iter__(self) -> Iterator[tuple[bytes, int, bool]]:
        """Payload, RTP timestamp and marker of each step's packet; the end is there three times."""
        start = 0
        for sent in range(self._step, self._length + self._step, self._step):
            duration = min(sent, self._length) - start
            if duration > _LONGEST:
                start += _LONGEST
                duration -= _LONGEST
            at = (self._timestamp + start) & 0xFFFFFFFF
            last = sent >= self._length
            payload = struct.pack("!BBH", self._code, self._volume | (_END if last else 0), duration)
            yield payload, at, sent == self._step
            if last:
                for _ in range(_END_PACKETS - 1):
                    yield payload, at, False


def _distance(later: int, earlier: int) -> int:
    """``later - earlier`` on the circle of 32-bit timestamps, as a signed number."""
    return ((later - earlier + 0x80000000) & 0xFFFFFFFF) - 0x80000000
