"""The conference service: the commands, carried out on the conferences.

Commands give the API's models and raise ``control.errors.CommandError``; one that is refused has changed nothing.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from importlib import metadata
from typing import TypeVar

import structlog

from control import schemas as s
from control.calls import CallSettings
from control.conference import Conference
from control.config import ConferenceConfig
from control.errors import ConflictError, GoneError, InvalidInputError, NotFoundError, UnavailableError
from control.legs import LegState
from control.numbers import make_number, make_pin, normalise
from control.participant import Participant, Role
from control.plan import Plan
from control.ports import Media, MediaFullError, Phones
from control.reception import Reception
from control.registry import Records
from control.snapshots import (
    conference_record,
    conference_view,
    leg_figures,
    leg_view,
    mixer_view,
    moment,
    network_report,
    participant_view,
    past_participant_view,
)
from control.store import CursorError, StoreError
from control.store.records import ConferenceRecord
from mixer.protocol import RoomSettings

MAX_AHEAD_DAYS = 1830
LATE_SECONDS = 60.0
"""A start this little in the past is taken for now: the way here takes time, and clocks differ."""

Result = TypeVar("Result")
log = structlog.get_logger(__name__)


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
        self._reception = Reception(store, phones, media, settings=calls or CallSettings(), clock=clock, new_id=new_id)
        self.registry = self._reception.registry
        self.calls = self._reception.calls
        self.sip_host = sip_host
        self._store = store
        self._media = media
        self._config = config
        self._clock = clock
        self._new_id = new_id
        self._started = clock()

    async def start(self) -> None:
        """Take up what the store holds. Raises control.store.StoreError."""
        await self.registry.load(new_id=self._new_id, ring_seconds=self._config.ring_seconds)

    async def stop(self, reason: str = "The server is being stopped") -> None:
        """Announce it, let no more calls in, hang all up and save their records.

        Conferences go on with the next server.
        """
        self._reception.closed = True
        self.registry.stop()
        self._store.append("server.stopping", conference=None, data={"reason": reason, "calls": len(self.calls.legs)})
        await self._flush()
        await self.calls.close(reason)
        await self._flush()

    async def _flush(self) -> None:
        """A store that does not answer keeps nobody from hanging up."""
        try:
            await self._store.flush()
        except StoreError as error:
            log.error("not stored", reason=str(error))

    # --- conferences -------------------------------------------------------------------------------------------------

    async def create(self, value: s.CreateConference, *, by: str, request_key: str | None = None) -> s.ConferenceView:
        """Raises InvalidInputError, ConflictError (number in use), UnavailableError (no writes, or being stopped)."""
        self._must_not_stop()
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
        self.registry.enter(conference)
        try:
            await self._store.flush()
        except StoreError as error:
            conference.end(by=None, now=self._clock(), reason="It could not be stored")
            self.registry.settle(conference)
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
        if value.number is not None and self.registry.find(value.number):
            raise ConflictError(f"number {value.number} is in use by another conference", field="/number")
        try:
            number = value.number or make_number(self._config.number_digits, self._is_taken)
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
            sound=RoomSettings(value.talkers, value.levelling, value.silence_music),
            request_key=request_key,
        )

    def _is_taken(self, number: str) -> bool:
        return self.registry.find(number) is not None

    async def list(self, value: s.ListConferences) -> s.ConferencePage:
        states = [value.state] if value.state else []
        page = await self._ask(self._store.conferences(states=states, limit=value.limit, cursor=value.cursor))
        return s.ConferencePage(
            items=[self._view(record) for record in page.items], next_cursor=page.next, total=page.total
        )

    async def get(self, conference_id: str) -> s.ConferenceView:
        live = self.registry.conferences.get(conference_id)
        return self._view(live or await self._stored(conference_id))

    async def extend(self, conference_id: str, minutes: int, *, by: str) -> s.ConferenceView:
        conference = await self._open(conference_id)
        conference.extend(minutes, longest=self._config.max_duration_minutes, by=by, now=self._clock())
        return await self._done(conference)

    async def lock(self, conference_id: str, on: bool, *, by: str) -> s.ConferenceView:
        conference = await self._open(conference_id)
        conference.lock(on, by=by, now=self._clock())
        return await self._done(conference)

    async def set_sound(self, conference_id: str, value: s.SetSound, *, by: str) -> s.ConferenceView:
        conference = await self._open(conference_id)
        room = replace(conference.plan.sound, **value.model_dump(exclude_none=True))
        conference.set_sound(room, by=by, now=self._clock())
        return await self._done(conference)

    async def end(self, conference_id: str, *, by: str) -> s.ConferenceView:
        conference = await self._open(conference_id)
        conference.end(by=by, now=self._clock())
        return await self._done(conference)

    async def live(self, conference_id: str) -> s.LiveConference:
        """Who is in now, with the mixer's figures."""
        conference = await self._open(conference_id)
        inside = [(p, p.leg) for p in conference.roster if p.in_call and p.leg is not None]
        stats = await self._media.stats_of([leg for _, leg in inside])
        return s.LiveConference(
            conference=self._view(conference),
            talking=[p.id for p, _ in inside if p.talking],
            participants=[
                s.LiveParticipant(
                    participant=participant_view(p), codec=self._codec(leg), figures=leg_figures(stats.get(leg))
                )
                for p, leg in inside
            ],
        )

    async def network(self, conference_id: str) -> s.NetworkReport:
        """The network state report (mission S24): how everybody who is in or being called is served now."""
        conference = await self._open(conference_id)
        called = [(p, p.leg) for p in conference.roster if p.leg is not None]
        stats = await self._media.stats_of([leg for p, leg in called if p.in_call])
        return network_report(
            conference, [(p, self._codec(leg), stats.get(leg)) for p, leg in called], now=self._clock()
        )

    def _codec(self, leg: str) -> str | None:
        known = self.calls.legs.get(leg)
        return known.cdr.codec or None if known is not None else None

    async def legs(self, conference_id: str, value: s.ListLegs) -> s.LegPage:
        if conference_id not in self.registry.conferences:
            await self._stored(conference_id)
        page = await self._ask(self._store.legs(conference_id=conference_id, limit=value.limit, cursor=value.cursor))
        return s.LegPage(items=[leg_view(r) for r in page.items], next_cursor=page.next, total=page.total)

    # --- participants ------------------------------------------------------------------------------------------------

    async def participants(self, conference_id: str) -> s.ParticipantList:
        conference = self.registry.conferences.get(conference_id)
        if conference is not None:
            return s.ParticipantList(items=[participant_view(p) for p in conference.roster])
        await self._stored(conference_id)
        records = await self._ask(self._store.participants(conference_id))
        return s.ParticipantList(items=[past_participant_view(r) for r in records])

    async def participant(self, conference_id: str, participant_id: str) -> s.ParticipantView:
        conference = self.registry.conferences.get(conference_id)
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
            self._must_take_invitations(conference, 1)
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
        self._must_take_invitations(conference, len(callable_))
        now = self._clock()
        for participant in callable_:
            conference.invite(participant, by=by, now=now)
        self.registry.settle(conference)
        return s.ParticipantList(items=[participant_view(p) for p in people.values()])

    async def act(self, conference_id: str, participant_id: str, action: str, *, by: str) -> s.ParticipantView:
        """A participant command without input, by its name in the command table."""
        conference = await self._open(conference_id)
        participant = conference.participant(participant_id)
        now = self._clock()
        match action:
            case "invite":
                self._must_take_invitations(conference, 1)
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
        self.registry.settle(conference)
        return participant_view(participant)

    async def gain(self, conference_id: str, participant_id: str, value: s.SetGain, *, by: str) -> s.ParticipantView:
        conference = await self._open(conference_id)
        participant = conference.participant(participant_id)
        conference.set_gain(
            participant, value.talk_gain_db, value.listen_gain_db, value.levelling, by=by, now=self._clock()
        )
        self.registry.settle(conference)
        return participant_view(participant)

    async def rename(self, conference_id: str, participant_id: str, name: str, *, by: str) -> s.ParticipantView:
        conference = await self._open(conference_id)
        participant = conference.participant(participant_id)
        conference.rename(participant, name, by=by, now=self._clock())
        self.registry.settle(conference)
        return participant_view(participant)

    # --- the server --------------------------------------------------------------------------------------------------

    async def status(self) -> s.ServerStatus:
        legs = self.calls.legs.values()
        return s.ServerStatus(
            version=metadata.version("veche"),
            started=moment(self._started),
            conferences=len(self.registry.conferences),
            calls=len(legs),
            participants_in=sum(leg.state is LegState.UP for leg in legs),
            mixers=[mixer_view(state) for state in self._media.mixers()],
        )

    # --- within ------------------------------------------------------------------------------------------------------

    async def _open(self, conference_id: str) -> Conference:
        """Raises NotFoundError, GoneError, UnavailableError (the server is being stopped)."""
        self._must_not_stop()
        conference = self.registry.conferences.get(conference_id)
        if conference is None:
            record = await self._stored(conference_id)
            raise GoneError(f"conference {record.number} has ended")
        return conference

    def _must_take_invitations(self, conference: Conference, count: int) -> None:
        """Raises GoneError, ConflictError, UnavailableError unless so many can be called into the conference now."""
        conference.must_take_invitations(count)
        try:
            self._media.check_capacity(conference.id, count)
        except MediaFullError as error:
            raise UnavailableError(
                f"no room for another call: {error.reason}", retry_after=error.retry_after
            ) from error

    def _must_not_stop(self) -> None:
        if self._reception.closed:
            raise UnavailableError("the server is being stopped")

    async def _stored(self, conference_id: str) -> ConferenceRecord:
        record = await self._ask(self._store.conference(conference_id))
        if record is None:
            raise NotFoundError(f"there is no conference {conference_id}")
        return record

    async def _done(self, conference: Conference) -> s.ConferenceView:
        """The command's outcome is safe in the store when this returns."""
        self.registry.settle(conference)
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
        live = self.registry.conferences.get(source.id)
        if live is not None:
            record = conference_record(live)
        else:
            record = source if isinstance(source, ConferenceRecord) else conference_record(source)
        return conference_view(record, seats_taken=live.seats_taken if live else 0, sip_host=self.sip_host)
