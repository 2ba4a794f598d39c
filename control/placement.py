"""Which mixer a leg goes to: conferences on the least loaded one, none beyond what was measured to be bearable.

Sans-IO. A conference has a *home* mixer; when that is full, further legs go to a *part* of the conference on another
mixer, linked with the home by a leg between the two (a star, so that nobody is heard twice). How many legs a mixer can
bear is not a constant: it reports the time its ticks take, and from that follows what one more leg would make of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from control.ports import MediaFullError
from mixer.protocol import Load

TICK_US = 20_000.0
BUDGET = 0.85
"""Share of the tick a mixer may use: beyond it, one burst of packets makes a tick late."""
LATE_SHARE = 0.1
"""Share of late ticks in a second from which on a mixer that has work takes nobody, whatever its mean says."""
LATE_FROM = 0.3
"""Share of the tick in use from which on late ticks are the mixer's own doing. Below, another program held the machine
up for a moment, and refusing a call would not help."""
BASE_US = 800.0
"""Time of a tick that does not grow with its legs."""
FIRST_GUESS_US = 8.0
"""Time a leg is taken to cost until enough of them have been measured."""
MEASURED_FROM = 50
"""Legs from which on the measured time is believed."""
RETRY_SECONDS = 10


@dataclass(slots=True)
class MixerRoom:
    """One mixer: the legs that are or will be there, and what a leg costs."""

    capacity: int
    reserve: int = 0
    """Rows kept for links."""
    legs: int = 0
    leg_us: float = FIRST_GUESS_US
    late: bool = False
    up: bool = True

    def note(self, load: Load) -> None:
        """Take in a report of the last second."""
        late = load.late_ticks + load.skipped_ticks > LATE_SHARE * load.ticks
        self.late = late and load.tick_us > LATE_FROM * TICK_US
        if load.legs >= MEASURED_FROM:
            measured = max(load.tick_us - BASE_US, 0.0) / load.legs
            self.leg_us += (measured - self.leg_us) * 0.3

    def used(self, more: int = 0) -> float:
        """Share of the tick used, as expected with ``more`` legs."""
        return (BASE_US + (self.legs + more) * self.leg_us) / TICK_US

    def takes(self, more: int = 1) -> bool:
        rows = self.capacity - self.reserve
        return self.up and not self.late and self.legs + more <= rows and self.used(more) <= BUDGET


@dataclass(frozen=True, slots=True)
class Place:
    """Where a leg goes. ``link_to``: the home mixer its part of the conference has to be linked with first."""

    mixer: int
    link_to: int | None = None


@dataclass(slots=True)
class _Conference:
    home: int
    legs: dict[int, int] = field(default_factory=dict)
    """Legs by mixer, links not counted."""


class Placement:
    """Keeps count of all legs of all mixers."""

    def __init__(self, mixers: int, capacity: int) -> None:
        reserve = max(mixers - 1, capacity // 64) if mixers > 1 else 0
        self.rooms = [MixerRoom(capacity, reserve) for _ in range(mixers)]
        self._conferences: dict[str, _Conference] = {}

    def take(self, conference: str) -> Place:
        """A place for one more leg of ``conference``. Raises MediaFullError."""
        known = self._conferences.get(conference)
        if known is None:
            mixer = self._roomiest()
            self._conferences[conference] = _Conference(mixer, {mixer: 1})
            self.rooms[mixer].legs += 1
            return Place(mixer)
        parts = [known.home, *(m for m in known.legs if m != known.home)]
        mixer = next((m for m in parts if self.rooms[m].takes()), -1)
        if mixer < 0:
            if self.rooms[known.home].legs >= self.rooms[known.home].capacity:
                raise MediaFullError("the conference's mixer has no place for another link", retry_after=RETRY_SECONDS)
            mixer = self._roomiest(more=2)
        link = None
        if mixer not in known.legs and mixer != known.home:
            link = known.home
            self.rooms[mixer].legs += 1
            self.rooms[known.home].legs += 1
        known.legs[mixer] = known.legs.get(mixer, 0) + 1
        self.rooms[mixer].legs += 1
        return Place(mixer, link)

    def check(self, conference: str, legs: int) -> None:
        """Raises MediaFullError unless ``legs`` more would find a place now; takes none."""
        tried: list[Place] = []
        try:
            for _ in range(legs):
                tried.append(self.take(conference))  # noqa: PERF401 what was taken until it raised is given back
        finally:
            for place in reversed(tried):
                self.give_back(conference, place.mixer)

    def give_back(self, conference: str, mixer: int) -> list[int]:
        """A leg is gone. Returns the mixers whose link with the home is no longer needed."""
        known = self._conferences[conference]
        known.legs[mixer] -= 1
        self.rooms[mixer].legs -= 1
        needless: list[int] = []
        if not known.legs[mixer] and mixer != known.home:
            needless.append(mixer)
        if not any(known.legs.values()):
            needless += [m for m in known.legs if m != known.home and m not in needless]
            del self._conferences[conference]
        for part in needless:
            known.legs.pop(part, None)
            self.rooms[part].legs -= 1
            self.rooms[known.home].legs -= 1
        return needless

    def home(self, conference: str) -> int | None:
        known = self._conferences.get(conference)
        return known.home if known else None

    def _roomiest(self, more: int = 1) -> int:
        """The least loaded mixer that takes ``more`` legs. Raises MediaFullError."""
        fit = [i for i, room in enumerate(self.rooms) if room.takes(more)]
        if not fit:
            raise MediaFullError("all mixers are working to capacity", retry_after=RETRY_SECONDS)
        return min(fit, key=lambda i: self.rooms[i].used())
