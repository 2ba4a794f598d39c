"""The conference service: owns all conferences, runs the commands, carries out what the conferences want.

Everything happens on one event loop: commands, calls, mixer events and deadlines reach a conference one after the
other, then its events are published, its effects carried out and its changes saved, before the next one comes.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from importlib import metadata
from typing import Any, Protocol, TypeVar

import structlog

from control import events as ev
from control import schemas as s
from control.attempts import Attempts
from control.calls import Calls, CallSettings
from control.conference import Caller, Conference, ConferenceState, Plan, RefusedError
from control.config import ConferenceConfig
from control.effects import Effect, HangUp, RingParticipant, SetMedia
from control.errors import ConflictError, GoneError, InvalidInputError, NotFoundError, UnavailableError
from control.legs import LegState
from control.numbers import caller_number, make_number, make_pin, normalise
from control.participant import Participant, Role
from control.ports import Media, Phones
from control.schedule import Schedule
from control.snapshots import (
    conference_record,
    conference_view,
    leg_view,
    moment,
    participant_record,
    participant_view,
    past_participant_view,
    restore_conference,
)
from control.store import CursorError, StoreError
from control.store.records import ConferenceRecord, EventRecord, LegRecord, Page, ParticipantRecord
from mixer.protocol import LegStats
from sip.events import IncomingCall

MAX_AHEAD_DAYS = 1830
LATE_SECONDS = 60.0
"""A start this little in the past is taken for now: the way here takes time, and clocks differ."""
MAX_SLEEP = 30.0
"""The timer looks at the wall clock at least this often, so that a clock set anew delays nothing for long."""
MAX_ENDED_NUMBERS = 10_000
WRONG_PINS = 5
WRONG_PINS_PER_SOURCE = 50
WRONG_PIN_SECONDS = 300.0
_MINOR = (ev.Talking, ev.Digit, ev.Held, ev.Resumed, ev.GainChanged, ev.CallRefused, ev.EndingSoon)
"""Events that change nothing in the store's record of the conference or participant."""

log = structlog.get_logger(__name__)
Result = TypeVar("Result")


class Records(Protocol):
    """What the service needs of control.store.Store."""

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


def _new_id() -> str:
    return secrets.token_hex(8)


class ConferenceService:
    """The conferences of this server.

    ``sip_host`` is the host (and port, if not 5060) that phones call, for the conferences' URIs. ``clock`` gives Unix
    seconds. Call ``start`` first and ``stop`` last.
    """

    def __init__(
        self,
        store: Records,
        phones: Phones,
        media: Media,
        config: ConferenceConfig,
        *,
        sip_host: str,
        calls: CallSettings | None = None,
        clock: Callable[[], float] = time.time,
        new_id: Callable[[], str] = _new_id,
    ) -> None:
        self.conferences: dict[str, Conference] = {}
        """Those that have not ended, by id."""
        self.calls = Calls(phones, media, self, store.save, settings=calls or CallSettings(), clock=clock)
        self._store = store
        self._media = media
        self._config = config
        self.sip_host = sip_host
        self._clock = clock
        self._new_id = new_id
        self._by_number: dict[str, Conference] = {}
        self._ended_numbers: dict[str, None] = {}
        self._callers = Attempts(WRONG_PINS, WRONG_PIN_SECONDS)
        self._sources = Attempts(WRONG_PINS_PER_SOURCE, WRONG_PIN_SECONDS)
        self._schedule = Schedule()
        self._timer: asyncio.TimerHandle | None = None
        self._settling: set[str] = set()
        self._stopping = False
        self._started = clock()

    # --- from start to stop ------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Take up what the store holds. Raises control.store.StoreError."""
        now = self._clock()
        ended = await self._store.conferences(states=[ConferenceState.ENDED], limit=MAX_ENDED_NUMBERS)
        for record in reversed(ended.items):
            self._remember_ended(record.number)
        await self._close_cut_legs()
        for record in await self._store.open_conferences():
            conference = restore_conference(
                record,
                await self._store.participants(record.id),
                now=now,
                new_id=self._new_id,
                ring_seconds=self._config.ring_seconds,
            )
            self._enter(conference)
            for participant in conference.roster:
                self._store.save(participant_record(conference.id, participant))
            self._settle(conference)
        log.info("conferences taken up", count=len(self.conferences))

    async def _close_cut_legs(self) -> None:
        """Legs that a crash cut off end when the last thing was heard of that server."""
        legs = await self._store.unfinished_legs()
        last = await self._store.events(after=max(0, self._store.committed_seq - 1), limit=1)
        for leg in legs:
            leg.ended = max([leg.answered or leg.started, *(event.time for event in last)])
            leg.end_kind = "server_stopped"
            leg.end_reason = "The server stopped unexpectedly"
            self._store.save(leg)

    async def stop(self, reason: str = "The server is being stopped") -> None:
        """Let no more calls in, hang all up and save their records. Conferences go on with the next server."""
        self._stopping = True
        if self._timer is not None:
            self._timer.cancel()
        await self.calls.close(reason)

    def due(self) -> float | None:
        """When the next deadline of any conference is."""
        return self._schedule.next()

    def handle_timer(self) -> None:
        """Do what is due now; called by the service's own timer."""
        now = self._clock()
        for conference_id in self._schedule.take(now):
            conference = self.conferences.get(conference_id)
            if conference is not None:
                conference.handle_timer(now)
                self._settle(conference)
        self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self._schedule.next()
        if due is not None and not self._stopping:
            delay = min(max(0.0, due - self._clock()), MAX_SLEEP)
            self._timer = asyncio.get_running_loop().call_later(delay, self.handle_timer)

    # --- conferences -------------------------------------------------------------------------------------------------

    async def create(self, value: s.CreateConference, *, by: str, request_key: str | None = None) -> s.ConferenceView:
        """Raises InvalidInputError, ConflictError (number in use), UnavailableError (the store takes no writes)."""
        if request_key is not None:
            made = await self._ask(self._store.conference_by_request(request_key))
            if made is not None:
                return self._view(made)
        conference = Conference.create(
            self._plan(value, by, request_key),
            by=by,
            new_id=self._new_id,
            ring_seconds=self._config.ring_seconds,
        )
        self._enter(conference)
        self._settle(conference)
        try:
            await self._store.flush()
        except StoreError as error:
            conference.end(by=None, now=self._clock(), reason="It could not be stored")
            self._settle(conference)
            raise UnavailableError(str(error)) from error
        return self._view(conference)

    def _plan(self, value: s.CreateConference, by: str, request_key: str | None) -> Plan:
        now = self._clock()
        starts = now if value.start == "now" else value.start.timestamp()
        if starts < now - LATE_SECONDS:
            raise InvalidInputError("is in the past", field="/start")
        if starts > now + MAX_AHEAD_DAYS * 86400:
            raise InvalidInputError(f"is more than {MAX_AHEAD_DAYS} days ahead", field="/start")
        starts = max(starts, now)
        minutes = value.duration_minutes or self._config.default_duration_minutes
        if minutes > self._config.max_duration_minutes:
            raise InvalidInputError(f"must be {self._config.max_duration_minutes} at most", field="/duration_minutes")
        seats = value.seats or self._config.default_seats
        if seats > self._config.max_seats:
            raise InvalidInputError(f"must be {self._config.max_seats} at most", field="/seats")
        if value.number in self._by_number:
            raise ConflictError(f"number {value.number} is in use by another conference", field="/number")
        try:
            number = value.number or make_number(self._config.number_digits, self._by_number.__contains__)
        except RuntimeError as error:
            raise UnavailableError(str(error)) from error
        chair_pin = value.chair_pin or make_pin(self._config.pin_digits, other=value.guest_pin)
        guest_pin = make_pin(self._config.pin_digits, chair_pin) if value.makes_up_guest_pin else value.guest_pin
        return Plan(
            id=self._new_id(),
            number=number,
            topic=value.topic,
            starts=starts,
            ends=starts + 60 * minutes,
            seats=seats,
            chair_pin=chair_pin,
            guest_pin=guest_pin,
            created=now,
            owner=by,
            request_key=request_key,
        )

    async def list(self, value: s.ListConferences) -> s.ConferencePage:
        states = [value.state] if value.state else []
        page = await self._ask(self._store.conferences(states=states, limit=value.limit, cursor=value.cursor))
        return s.ConferencePage(
            items=[self._view(record) for record in page.items], next_cursor=page.next, total=page.total
        )

    async def get(self, conference_id: str) -> s.ConferenceView:
        live = self.conferences.get(conference_id)
        return self._view(live or await self._stored(conference_id))

    async def extend(self, conference_id: str, minutes: int, *, by: str) -> s.ConferenceView:
        conference = await self._open(conference_id)
        conference.extend(minutes, longest=self._config.max_duration_minutes, by=by, now=self._clock())
        return await self._done(conference)

    async def lock(self, conference_id: str, on: bool, *, by: str) -> s.ConferenceView:
        conference = await self._open(conference_id)
        conference.lock(on, by=by, now=self._clock())
        return await self._done(conference)

    async def end(self, conference_id: str, *, by: str) -> s.ConferenceView:
        conference = await self._open(conference_id)
        conference.end(by=by, now=self._clock())
        return await self._done(conference)

    async def live(self, conference_id: str) -> s.LiveConference:
        """Who is in now, with the mixer's figures."""
        conference = await self._open(conference_id)
        inside = [p for p in conference.roster if p.in_call and p.leg is not None]
        figures = await asyncio.gather(*(self._media.stats(p.leg or "") for p in inside))
        return s.LiveConference(
            conference=self._view(conference),
            talking=[p.id for p in inside if p.talking],
            participants=[self._live(p, stats) for p, stats in zip(inside, figures, strict=True)],
        )

    def _live(self, participant: Participant, stats: LegStats | None) -> s.LiveParticipant:
        leg = self.calls.legs.get(participant.leg or "")
        fields = s.LegFigures.model_fields
        return s.LiveParticipant(
            participant=participant_view(participant),
            codec=leg.cdr.codec or None if leg else None,
            figures=s.LegFigures(**{name: getattr(stats, name) for name in fields}) if stats else None,
        )

    async def legs(self, conference_id: str, value: s.ListLegs) -> s.LegPage:
        if conference_id not in self.conferences:
            await self._stored(conference_id)
        page = await self._ask(self._store.legs(conference_id=conference_id, limit=value.limit, cursor=value.cursor))
        return s.LegPage(items=[leg_view(r) for r in page.items], next_cursor=page.next, total=page.total)

    # --- participants ------------------------------------------------------------------------------------------------

    async def participants(self, conference_id: str) -> s.ParticipantList:
        conference = self.conferences.get(conference_id)
        if conference is not None:
            return s.ParticipantList(items=[participant_view(p) for p in conference.roster])
        await self._stored(conference_id)
        records = await self._ask(self._store.participants(conference_id))
        return s.ParticipantList(items=[past_participant_view(r) for r in records])

    async def participant(self, conference_id: str, participant_id: str) -> s.ParticipantView:
        conference = self.conferences.get(conference_id)
        if conference is not None:
            return participant_view(conference.participant(participant_id))
        found = [p for p in (await self.participants(conference_id)).items if p.id == participant_id]
        if not found:
            raise NotFoundError(f"there is no participant {participant_id} in this conference")
        return found[0]

    async def add_participant(
        self, conference_id: str, value: s.AddParticipant, *, by: str, request_key: str | None = None
    ) -> s.ParticipantView:
        """Raises InvalidInputError (number), ConflictError (there already; not to be invited now)."""
        if request_key is not None:
            made = await self._ask(self._store.participant_by_request(request_key))
            if made is not None:
                return await self.participant(made.conference, made.id)
        conference = await self._open(conference_id)
        try:
            number = normalise(value.number)
        except ValueError as error:
            raise InvalidInputError(f"{value.number!r} {error}", field="/number") from error
        now = self._clock()
        if value.invite:
            conference.must_take_invitations(1)
        participant = conference.add(
            number,
            name=value.name,
            email=value.email or "",
            role=Role(value.role),
            by=by,
            now=now,
            request_key=request_key,
        )
        if value.invite:
            conference.invite(participant, by=by, now=now)
        await self._done(conference)
        return participant_view(participant)

    async def invite_many(self, conference_id: str, ids: Sequence[str], *, by: str) -> s.ParticipantList:
        """Ring all who are neither in nor being called; nobody is rung when one is unknown or seats do not suffice."""
        conference = await self._open(conference_id)
        people: dict[str, Participant] = {}
        for index, participant_id in enumerate(ids):
            try:
                people[participant_id] = conference.participant(participant_id)
            except NotFoundError as error:
                raise NotFoundError(error.detail, field=f"/participants/{index}") from error
        callable_ = [p for p in people.values() if p.leg is None and p.number]
        conference.must_take_invitations(len(callable_))
        now = self._clock()
        for participant in callable_:
            conference.invite(participant, by=by, now=now)
        self._settle(conference)
        return s.ParticipantList(items=[participant_view(p) for p in people.values()])

    async def act(self, conference_id: str, participant_id: str, action: str, *, by: str) -> s.ParticipantView:
        """A participant command without input, by its name in the command table."""
        conference = await self._open(conference_id)
        participant = conference.participant(participant_id)
        now = self._clock()
        match action:
            case "invite":
                conference.invite(participant, by=by, now=now)
            case "cancel":
                conference.cancel(participant, by=by, now=now)
            case "mute" | "unmute":
                conference.mute(participant, action == "mute", by=by, now=now)
            case "deaf" | "undeaf":
                conference.deafen(participant, action == "deaf", by=by, now=now)
            case "hangup":
                conference.hang_up(participant, by=by, now=now)
            case "kick":
                conference.kick(participant, by=by, now=now)
            case _:
                raise NotFoundError(f"there is no command {action}")
        self._settle(conference)
        return participant_view(participant)

    async def gain(self, conference_id: str, participant_id: str, value: s.SetGain, *, by: str) -> s.ParticipantView:
        conference = await self._open(conference_id)
        participant = conference.participant(participant_id)
        conference.set_gain(participant, value.talk_gain_db, value.listen_gain_db, by=by, now=self._clock())
        self._settle(conference)
        return participant_view(participant)

    async def rename(self, conference_id: str, participant_id: str, name: str, *, by: str) -> s.ParticipantView:
        conference = await self._open(conference_id)
        participant = conference.participant(participant_id)
        conference.rename(participant, name, by=by, now=self._clock())
        self._settle(conference)
        return participant_view(participant)

    # --- calls (control.calls.Observer) ------------------------------------------------------------------------------

    def incoming(self, event: IncomingCall) -> None:
        """Let a caller into the conference whose number he called, or say why not."""
        now = self._clock()
        leg = self._new_id()
        number, _, pin = event.user.strip().removeprefix("+").partition("*")
        if self._stopping:
            self.calls.refuse(event, 503, "The server is being stopped", leg_id=leg, number=number, retry_after=10)
            return
        conference = self._by_number.get(number)
        if conference is None:
            ended = number in self._ended_numbers
            status, reason = (410, "The conference has ended") if ended else (404, "No conference has this number")
            log.debug("call refused", number=number, status=status, source=event.source[0])
            self.calls.refuse(event, status, reason, leg_id=leg, number=number)
            return
        caller = Caller(
            number=event.account or caller_number(event.from_user),
            name=event.from_name,
            authenticated=event.account is not None,
        )
        try:
            participant = self._admit(conference, caller, pin or None, leg, event.source[0], now)
        except RefusedError as refusal:
            self.calls.refuse(
                event,
                refusal.status,
                refusal.reason,
                leg_id=leg,
                number=number,
                conference=conference.id,
                retry_after=refusal.retry_after,
            )
        else:
            self.calls.accept(leg, event, conference=conference.id, participant=participant.id, number=number)
        self._settle(conference)

    def _admit(
        self, conference: Conference, caller: Caller, pin: str | None, leg: str, source: str, now: float
    ) -> Participant:
        """PINs may be tried a few times per caller, and a few times more per source, since From can be invented."""
        if pin is None:
            return conference.admit(caller, None, leg, now)
        who = caller.number if caller.authenticated else (source, caller.number)
        where = (source, conference.id)
        if self._callers.blocked(who, now) or self._sources.blocked(where, now):
            raise RefusedError(403, "Too many wrong PINs, try again later")
        try:
            participant = conference.admit(caller, pin, leg, now)
        except RefusedError as refusal:
            if refusal.wrong_pin:
                self._callers.wrong(who, now)
                self._sources.wrong(where, now)
            raise
        self._callers.right(who)
        return participant

    def ringing(self, conference: str, leg: str) -> None:
        self._report(conference, lambda c, now: c.ringing(leg, now))

    def joined(self, conference: str, leg: str) -> None:
        self._report(conference, lambda c, now: c.joined(leg, now))

    def failed(self, conference: str, leg: str, failure: str, status: int, reason: str) -> None:
        self._report(conference, lambda c, now: c.failed(leg, failure, status, reason, now))

    def left(self, conference: str, leg: str, reason: str) -> None:
        self._report(conference, lambda c, now: c.left(leg, reason, now))

    def held(self, conference: str, leg: str, on: bool) -> None:
        self._report(conference, lambda c, now: c.held(leg, on, now))

    def talks(self, conference: str, leg: str, talking: bool, level_dbov: float) -> None:
        self._report(conference, lambda c, now: c.talks(leg, talking, level_dbov, now))

    def digit(self, conference: str, leg: str, digit: str) -> None:
        self._report(conference, lambda c, now: c.digit(leg, digit, now))

    def _report(self, conference_id: str, tell: Callable[[Conference, float], None]) -> None:
        conference = self.conferences.get(conference_id)
        if conference is not None:
            tell(conference, self._clock())
            self._settle(conference)

    # --- the server --------------------------------------------------------------------------------------------------

    async def status(self) -> s.ServerStatus:
        legs = self.calls.legs.values()
        return s.ServerStatus(
            version=metadata.version("veche"),
            started=moment(self._started),
            conferences=len(self.conferences),
            calls=len(legs),
            participants_in=sum(leg.state is LegState.UP for leg in legs),
            mixers=[
                s.MixerView(**{name: getattr(load, name) for name in s.MixerView.model_fields})
                for load in self._media.load()
            ],
        )

    # --- within ------------------------------------------------------------------------------------------------------

    def _enter(self, conference: Conference) -> None:
        self.conferences[conference.id] = conference
        self._by_number[conference.plan.number] = conference

    def _settle(self, conference: Conference) -> None:
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
                    self._carry_out(conference, effect)
        finally:
            self._settling.discard(conference.id)
        if conference.state is ConferenceState.ENDED:
            self._leave(conference)
        before = self._schedule.next()
        self._schedule.set(conference.id, conference.timer())
        if self._schedule.next() != before or self._timer is None:
            self._arm()

    def _publish(self, conference: Conference, events: Sequence[ev.ConferenceEvent]) -> None:
        changed: dict[str, None] = {}
        for event in events:
            self._store.append(event.kind, conference=conference.id, data=event.data(), time=moment(event.at))
            if isinstance(event, _MINOR):
                continue
            if isinstance(event, ev.ParticipantEvent):
                changed[event.participant] = None
            else:
                changed[""] = None
        if "" in changed:
            self._store.save(conference_record(conference))
        for participant_id in changed:
            participant = conference.roster.get(participant_id)
            if participant is not None:
                self._store.save(participant_record(conference.id, participant))

    def _carry_out(self, conference: Conference, effect: Effect) -> None:
        match effect:
            case RingParticipant(participant, leg, number):
                self.calls.invite(
                    leg,
                    number,
                    conference=conference.id,
                    participant=participant,
                    from_user=conference.plan.number,
                    name=conference.plan.topic,
                )
            case HangUp(leg, kind, reason):
                self.calls.hang_up(leg, kind, reason)
            case SetMedia(leg, mute, deaf, talk, listen):
                self.calls.set_media(leg, mute=mute, deaf=deaf, talk_gain_db=talk, listen_gain_db=listen)

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

    async def _open(self, conference_id: str) -> Conference:
        """Raises NotFoundError, GoneError."""
        conference = self.conferences.get(conference_id)
        if conference is None:
            record = await self._stored(conference_id)
            raise GoneError(f"conference {record.number} has ended")
        return conference

    async def _stored(self, conference_id: str) -> ConferenceRecord:
        record = await self._ask(self._store.conference(conference_id))
        if record is None:
            raise NotFoundError(f"there is no conference {conference_id}")
        return record

    async def _done(self, conference: Conference) -> s.ConferenceView:
        """The command's outcome is safe in the store when this returns."""
        self._settle(conference)
        await self._ask(self._store.flush())
        return self._view(conference)

    async def _ask(self, question: Awaitable[Result]) -> Result:
        try:
            return await question
        except CursorError as error:
            raise InvalidInputError(str(error), field="/cursor") from error
        except StoreError as error:
            raise UnavailableError(str(error)) from error

    def _view(self, source: Conference | ConferenceRecord) -> s.ConferenceView:
        live = self.conferences.get(source.id)
        if live is not None:
            record = conference_record(live)
        else:
            record = source if isinstance(source, ConferenceRecord) else conference_record(source)
        return conference_view(record, seats_taken=live.seats_taken if live else 0, sip_host=self.sip_host)
