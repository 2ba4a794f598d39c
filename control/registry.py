"""The conferences that have not ended: found by id and number, kept in the store, woken when something is due.

Everything happens on one event loop: commands, calls, mixer events and deadlines reach a conference one after the
other; ``settle`` then publishes its events, saves what changed and carries its effects out, before the next one comes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Protocol

import structlog

from control import events as ev
from control.conference import Conference
from control.effects import Effect
from control.plan import ConferenceState
from control.schedule import Schedule
from control.snapshots import conference_record, moment, participant_record, restore_conference
from control.store.records import ConferenceRecord, EventRecord, LegRecord, Page, ParticipantRecord

MAX_SLEEP = 30.0
"""The timer looks at the wall clock at least this often, so that a clock set anew delays nothing for long."""
MAX_ENDED_NUMBERS = 10_000
_MINOR = (
    ev.CallRefused,
    ev.Digit,
    ev.EndingSoon,
    ev.Held,
    ev.MediaLost,
    ev.MediaRestored,
    ev.Music,
    ev.Resumed,
    ev.Talking,
)
"""Events that change nothing in the store's record of the conference or participant."""

log = structlog.get_logger(__name__)


class Records(Protocol):
    """What conferences need of control.store.Store."""

    def save(self, record: ConferenceRecord | ParticipantRecord | LegRecord) -> None: ...

    def append(
        self, kind: str, *, conference: str | None, data: dict[str, Any], time: datetime | None = None
    ) -> int: ...

    async def flush(self) -> None: ...

    async def conference(self, conference_id: str) -> ConferenceRecord | None: ...

    async def conference_by_request(self, request_key: str) -> ConferenceRecord | None: ...

    async def conferences(
        self, *, states: Sequence[str] = (), limit: int = 50, cursor: str | None = None
    ) -> Page[ConferenceRecord]: ...

    async def open_conferences(self) -> list[ConferenceRecord]: ...

    async def participants(self, conference_id: str) -> list[ParticipantRecord]: ...

    async def participant_by_request(self, request_key: str) -> ParticipantRecord | None: ...

    async def legs(
        self, *, conference_id: str | None = None, limit: int = 50, cursor: str | None = None
    ) -> Page[LegRecord]: ...

    async def unfinished_legs(self) -> list[LegRecord]: ...

    async def events(
        self, *, after: int = 0, upto: int | None = None, conference_id: str | None = None, limit: int = 500
    ) -> list[EventRecord]: ...

    @property
    def committed_seq(self) -> int: ...


class Registry:
    """All live conferences.

    ``carry_out`` does what a conference wants done outside; it may report back into the same conference at once.
    ``clock`` gives Unix seconds.
    """

    def __init__(
        self, store: Records, carry_out: Callable[[Conference, Effect], None], clock: Callable[[], float]
    ) -> None:
        self.conferences: dict[str, Conference] = {}
        """By id."""
        self._store = store
        self._carry_out = carry_out
        self._clock = clock
        self._by_number: dict[str, Conference] = {}
        self._ended_numbers: dict[str, None] = {}
        self._schedule = Schedule()
        self._timer: asyncio.TimerHandle | None = None
        self._settling: set[str] = set()
        self._stopped = False

    # --- from start to stop ------------------------------------------------------------------------------------------

    async def load(self, *, new_id: Callable[[], str], ring_seconds: float) -> None:
        """Take up what the store holds, and do what was missed. Raises control.store.StoreError."""
        ended = await self._store.conferences(states=[ConferenceState.ENDED], limit=MAX_ENDED_NUMBERS)
        for record in reversed(ended.items):
            self._remember_ended(record.number)
        await self._close_cut_legs()
        for record in await self._store.open_conferences():
            people = await self._store.participants(record.id)
            conference = restore_conference(record, people, now=self._clock(), new_id=new_id, ring_seconds=ring_seconds)
            self._store.save(conference_record(conference))
            for participant in conference.roster:
                self._store.save(participant_record(conference.id, participant))
            self.enter(conference)
        log.debug("conferences taken up", count=len(self.conferences))

    async def _close_cut_legs(self) -> None:
        """Legs that a crash cut off end when the last thing was heard of that server."""
        last = await self._store.events(after=max(0, self._store.committed_seq - 1), limit=1)
        for leg in await self._store.unfinished_legs():
            leg.ended = max([leg.answered or leg.started, *(event.time for event in last)])
            leg.end_kind = "server_stopped"
            leg.end_reason = "The server stopped unexpectedly"
            self._store.save(leg)

    def stop(self) -> None:
        """Deadlines are no longer kept."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()

    # --- finding -----------------------------------------------------------------------------------------------------

    def find(self, number: str) -> Conference | None:
        """The live conference with this number."""
        return self._by_number.get(number)

    def has_ended(self, number: str) -> bool:
        """True when a conference with this number has ended not too long ago."""
        return number in self._ended_numbers

    def enter(self, conference: Conference) -> None:
        """A conference begins its life here."""
        self.conferences[conference.id] = conference
        self._by_number[conference.plan.number] = conference
        self.settle(conference)

    # --- time --------------------------------------------------------------------------------------------------------

    def due(self) -> float | None:
        """When the next deadline of any conference is."""
        return self._schedule.next()

    def handle_timer(self) -> None:
        """Do what is due now; called by the registry's own timer."""
        now = self._clock()
        for conference_id in self._schedule.take(now):
            conference = self.conferences.get(conference_id)
            if conference is not None:
                conference.handle_timer(now)
                self.settle(conference)
        self.arm()

    def arm(self) -> None:
        """Set the timer to the next deadline."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self._schedule.next()
        if due is not None and not self._stopped:
            delay = min(max(0.0, due - self._clock()), MAX_SLEEP)
            self._timer = asyncio.get_running_loop().call_later(delay, self.handle_timer)

    # --- after every change ------------------------------------------------------------------------------------------

    def settle(self, conference: Conference) -> None:
        """Publish events, save what changed, carry out effects and what follows from them, set the deadline.

        An effect may report back into the same conference; the outer round takes that up.
        """
        if conference.id in self._settling:
            return
        self._settling.add(conference.id)
        try:
            while True:
                events, effects = conference.take_events(), conference.take_effects()
                if not events and not effects:
                    break
                self._publish(conference, events)
                for effect in effects:
                    self._try(conference, effect)
        finally:
            self._settling.discard(conference.id)
        if conference.state is ConferenceState.ENDED:
            self._leave(conference)
        before = self._schedule.next()
        self._schedule.set(conference.id, conference.timer())
        if self._schedule.next() != before or self._timer is None:
            self.arm()

    def _try(self, conference: Conference, effect: Effect) -> None:
        """One effect that goes wrong must not keep the others from happening."""
        try:
            self._carry_out(conference, effect)
        except Exception:
            log.exception("effect failed", conference=conference.id, effect=type(effect).__name__)

    def _publish(self, conference: Conference, events: Sequence[ev.ConferenceEvent]) -> None:
        for event in events:
            self._store.append(event.kind, conference=conference.id, data=event.data(), time=moment(event.at))
        major = [event for event in events if not isinstance(event, _MINOR)]
        if any(not isinstance(event, ev.ParticipantEvent) for event in major):
            self._store.save(conference_record(conference))
        for participant_id in dict.fromkeys(e.participant for e in major if isinstance(e, ev.ParticipantEvent)):
            participant = conference.roster.get(participant_id)
            if participant is not None:
                self._store.save(participant_record(conference.id, participant))

    def _leave(self, conference: Conference) -> None:
        """An ended conference lives on in the store only; its number is free."""
        if self.conferences.pop(conference.id, None) is not None:
            self._by_number.pop(conference.plan.number, None)
            self._remember_ended(conference.plan.number)

    def _remember_ended(self, number: str) -> None:
        self._ended_numbers.pop(number, None)
        self._ended_numbers[number] = None
        if len(self._ended_numbers) > MAX_ENDED_NUMBERS:
            del self._ended_numbers[next(iter(self._ended_numbers))]
