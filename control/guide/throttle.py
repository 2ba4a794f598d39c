"""Who guesses numbers and PINs is slowed down and stopped: per call (the guide's attempts), caller and conference.

Each wrong attempt of a caller, or at a conference, makes the answer to the next come later. A caller with too many
is blocked for a while. A conference with too many lets only those try who have proven to know a PIN of it before, or
whose number is proven: nobody can keep its own people out by guessing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

from control.events import ConferenceEvent

MAX_KEYS = 10_000


@dataclass(frozen=True, slots=True)
class WrongPinTried(ConferenceEvent):
    """Audit: a PIN was none of this conference's. ``number``: the caller's, ``count``: his wrong ones so far."""

    kind = "conference.wrong_pin"
    number: str
    count: int


@dataclass(frozen=True, slots=True)
class CallerBlocked(ConferenceEvent):
    """Audit: a caller may try nothing until ``until`` (Unix seconds). ``conference``: "" when it is not known."""

    kind = "conference.caller_blocked"
    number: str
    until: float


@dataclass(frozen=True, slots=True)
class ConferenceGuarded(ConferenceEvent):
    """Audit: so many wrong PINs that strangers may not try any until ``until`` (Unix seconds)."""

    kind = "conference.guarded"
    until: float


@dataclass(frozen=True, slots=True)
class Limits:
    """Wrong attempts within ``window_seconds`` until a caller is blocked, or a conference guarded, for that long.

    The answer to a caller's n-th wrong attempt comes ``first_delay * 2 ** (n - 1)`` seconds later; at a conference
    that delay begins to grow with the ``conference_free``-th wrong attempt. Never more than ``longest_delay``.
    """

    caller: int = 6
    conference: int = 60
    conference_free: int = 6
    window_seconds: float = 900.0
    first_delay: float = 0.5
    longest_delay: float = 8.0


@dataclass(frozen=True, slots=True)
class Tries:
    """Who tries: ``key`` is what he is known by (his number if proven, else with the address he calls from)."""

    key: Hashable
    number: str
    proven: bool = False
    """His number is, by digest or a registered phone's flow."""


@dataclass(slots=True)
class _Count:
    since: float
    wrong: int


class Throttle:
    """Wrong attempts of all callers at all conferences. Memory is bounded: the longest untouched is forgotten first."""

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._counts: OrderedDict[Hashable, _Count] = OrderedDict()
        self._known: OrderedDict[tuple[Hashable, str], None] = OrderedDict()
        self._events: list[ConferenceEvent] = []

    def take_events(self) -> list[ConferenceEvent]:
        taken, self._events = self._events, []
        return taken

    def blocked(self, caller: Tries, conference: str | None, now: float) -> float:
        """Seconds until this caller may try again (there); 0 when he may now. None: the conference is not known yet."""
        left = self._left(("caller", caller.key), self._limits.caller, now)
        if conference is not None and not caller.proven and (caller.key, conference) not in self._known:
            left = max(left, self._left(("conference", conference), self._limits.conference, now))
        return left

    def wrong_number(self, caller: Tries, now: float) -> float:
        """No conference and nobody's personal PIN; the delay of the answer, seconds."""
        his = self._add(("caller", caller.key), now)
        self._tell_blocked(caller, "", his, now)
        return self._delay(his)

    def wrong_pin(self, caller: Tries, conference: str, now: float) -> float:
        """None of this conference's PINs; the delay of the answer, seconds."""
        limits = self._limits
        his = self._add(("caller", caller.key), now)
        self._add(("both", caller.key, conference), now)
        its = self._add(("conference", conference), now)
        self._events.append(WrongPinTried(conference, now, number=caller.number, count=his))
        self._tell_blocked(caller, conference, his, now)
        if its == limits.conference:
            until = now + self._left(("conference", conference), limits.conference, now)
            self._events.append(ConferenceGuarded(conference, now, until=until))
        return max(self._delay(his), self._delay(its - limits.conference_free))

    def right(self, caller: Tries, conference: str) -> None:
        """He knows a PIN: his mistakes there are forgiven, and he may try there even when strangers may not.

        Not his mistakes elsewhere: or knowing one conference's PIN would allow guessing another's without end.
        """
        both = self._counts.pop(("both", caller.key, conference), None)
        his = self._counts.get(("caller", caller.key))
        if both is not None and his is not None:
            his.wrong = max(0, his.wrong - both.wrong)
        self._known[(caller.key, conference)] = None
        self._known.move_to_end((caller.key, conference))
        if len(self._known) > MAX_KEYS:
            self._known.popitem(last=False)

    def _tell_blocked(self, caller: Tries, conference: str, wrong: int, now: float) -> None:
        if wrong == self._limits.caller:
            until = now + self._left(("caller", caller.key), self._limits.caller, now)
            self._events.append(CallerBlocked(conference, now, number=caller.number, until=until))

    def _left(self, key: Hashable, limit: int, now: float) -> float:
        count = self._counts.get(key)
        if count is None or count.wrong < limit:
            return 0.0
        return max(0.0, count.since + self._limits.window_seconds - now)

    def _add(self, key: Hashable, now: float) -> int:
        count = self._counts.get(key)
        if count is None or now - count.since >= self._limits.window_seconds:
            count = self._counts[key] = _Count(now, 0)
            if len(self._counts) > MAX_KEYS:
                self._counts.popitem(last=False)
        self._counts.move_to_end(key)
        count.wrong += 1
        return count.wrong

    def _delay(self, wrong: int) -> float:
        if wrong <= 0:
            return 0.0
        return min(self._limits.longest_delay, self._limits.first_delay * 2.0 ** min(wrong - 1, 16))
