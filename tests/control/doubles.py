"""In-memory doubles of what control stands on. They keep the ports' promises and remember what they were asked."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from control.config import ConferenceConfig
from control.ports import DEFAULT_ROOM, MediaAddress, MediaFullError, MixerState, NoMediaAddressError
from control.service import ConferenceService
from control.store.records import ConferenceRecord, EventRecord, LegRecord, Page, ParticipantRecord
from mixer.protocol import LegMedia, LegStats, Load, Message, RoomSettings
from sip import events as sip

START = 1_800_000_000.0


@dataclass
class Clock:
    """Time that passes when told."""

    now: float = START

    def __call__(self) -> float:
        return self.now


def counter(prefix: str = "id") -> Callable[[], str]:
    numbers = itertools.count(1)
    return lambda: f"{prefix}{next(numbers)}"


class Phones:
    """Keeps each call's state; what a call does is said with the methods at the end."""

    def __init__(self) -> None:
        self.done: list[tuple[Any, ...]] = []
        self.calls: dict[str, str] = {}
        self.bodies: dict[str, bytes] = {}
        self.headers: dict[str, Mapping[str, str]] = {}
        self._new_call = counter("call")
        self._handler: Callable[[sip.Event], None] = lambda event: None
        self._later: list[sip.Event] = []

    def subscribe(self, handler: Callable[[sip.Event], None]) -> None:
        self._handler = handler

    def invite(self, number: str, offer: bytes, *, from_user: str, from_name: str = "") -> str:
        call = self._new_call()
        self.calls[call] = "calling"
        self.bodies[call] = offer
        self.done.append(("invite", call, number, from_user, from_name))
        return call

    def ring(self, call: str, status: int = 180, body: bytes | None = None) -> None:
        self.done.append(("ring", call, status))

    def answer(self, call: str, body: bytes) -> None:
        assert self.calls[call] == "incoming"
        self.calls[call] = "up"
        self.bodies[call] = body
        self.done.append(("answer", call))

    def reject(self, call: str, status: int, reason: str, headers: Mapping[str, str] | None = None) -> None:
        assert self.calls.pop(call) == "incoming"
        self.headers[call] = headers or {}
        self.done.append(("reject", call, status, reason))

    def hang_up(self, call: str, reason: str = "") -> None:
        state = self.calls.pop(call, None)
        self.done.append(("hang_up", call, reason))
        if state == "calling":
            self._later.append(sip.CallFailed(call, sip.FailureKind.CANCELLED, 487, "Request Terminated"))
        elif state is not None:
            self._later.append(sip.CallEnded(call, sip.EndKind.LOCAL, reason))

    def accept_session(self, call: str, body: bytes) -> None:
        self.bodies[call] = body
        self.done.append(("accept_session", call))

    def refuse_session(self, call: str, status: int, reason: str) -> None:
        self.done.append(("refuse_session", call, status, reason))

    def modify_session(self, call: str, offer: bytes) -> None:
        self.bodies[call] = offer
        self.done.append(("modify_session", call))

    # what the far side does

    def incoming(
        self,
        user: str,
        caller: str = "375291112233",
        *,
        name: str = "",
        offer: bytes | None = b"",
        account: str | None = None,
        source: str = "192.0.2.7",
    ) -> str:
        """A call comes in; ``offer`` b"" stands for an ordinary one."""
        call = self._new_call()
        self.calls[call] = "incoming"
        self._handler(
            sip.IncomingCall(
                call=call,
                request_uri=f"sip:{user}@192.0.2.1",
                user=user,
                from_uri=f"sip:{caller}@192.0.2.7",
                from_user=caller,
                from_name=name,
                account=account,
                offer=sdp() if offer == b"" else offer,
                source=(source, 5060),
                transport="udp",
                call_id=f"{call}@phone",
            )
        )
        return call

    def join(self, user: str, caller: str = "375291112233", **more: Any) -> str:
        """A call comes in, is answered and acknowledged."""
        call = self.incoming(user, caller, **more)
        assert self.calls.get(call) == "up", self.done[-1]
        self.emit(sip.CallConfirmed(call, None))
        return call

    def answered(self, call: str, body: bytes | None = b"") -> None:
        self.calls[call] = "up"
        source = ("192.0.2.8", 5060)
        self.emit(sip.CallAnswered(call, sdp() if body == b"" else body, source, {}, "tcp", f"{call}@us"))

    def bye(self, call: str) -> None:
        del self.calls[call]
        self.emit(sip.CallEnded(call, sip.EndKind.REMOTE, ""))

    def emit(self, event: sip.Event) -> None:
        self._handler(event)

    def settle(self) -> None:
        """The events that our own hang-ups lead to arrive."""
        while self._later:
            self._handler(self._later.pop(0))

    def last(self, what: str) -> tuple[Any, ...]:
        return next(entry for entry in reversed(self.done) if entry[0] == what)


class Media:
    """Legs by name, as a mixer would hold them."""

    def __init__(self) -> None:
        self.reserved: dict[str, MediaAddress] = {}
        self.connected: dict[str, LegMedia] = {}
        self.adjusted: dict[str, dict[str, Any]] = {}
        self.rooms: dict[str, RoomSettings] = {}
        self.released: list[str] = []
        self.full = False
        self.foresees = True
        """Being full is seen before a place is asked for."""
        self.families = {4, 6}
        self.stats_ready = True
        self.figures: dict[str, dict[str, Any]] = {}
        """By leg what its figures are instead of the usual ones."""
        self.queries = 0
        self._handler: Callable[[Message], None] = lambda message: None

    def subscribe(self, handler: Callable[[Message], None]) -> None:
        self._handler = handler

    def reserve(self, leg: str, conference: str, *, family: int = 4, room: RoomSettings = DEFAULT_ROOM) -> MediaAddress:
        self.rooms[conference] = room
        if family not in self.families:
            raise NoMediaAddressError(family)
        if self.full:
            raise MediaFullError("all rows are taken", retry_after=7)
        self.reserved[leg] = MediaAddress("192.0.2.1" if family == 4 else "2001:db8::1", 40000, 0, 1)
        return self.reserved[leg]

    def check_capacity(self, conference: str, legs: int = 1) -> None:
        if self.full and self.foresees:
            raise MediaFullError("all rows are taken", retry_after=7)

    def configure(self, conference: str, room: RoomSettings) -> None:
        self.rooms[conference] = room

    def connect(self, leg: str, media: LegMedia) -> None:
        assert leg in self.reserved
        self.connected[leg] = media

    def adjust(
        self,
        leg: str,
        *,
        mute: bool | None = None,
        deaf: bool | None = None,
        talk_gain_db: float | None = None,
        listen_gain_db: float | None = None,
        levelling: bool | None = None,
    ) -> None:
        assert leg in self.reserved
        self.adjusted[leg] = {
            "mute": mute,
            "deaf": deaf,
            "talk_gain_db": talk_gain_db,
            "listen_gain_db": listen_gain_db,
            "levelling": levelling,
        }

    def release(self, leg: str) -> None:
        self.reserved.pop(leg, None)
        self.connected.pop(leg, None)
        self.adjusted.pop(leg, None)
        self.released.append(leg)

    async def stats(self, leg: str) -> LegStats | None:
        return (await self.stats_of([leg])).get(leg)

    async def stats_of(self, legs: Iterable[str]) -> dict[str, LegStats]:
        self.queries += 1
        return {leg: self._stats(leg) for leg in legs if leg in self.connected and self.stats_ready}

    def _stats(self, leg: str) -> LegStats:
        counts = (500, 480, 5, 1, 0, 0, 4, 500)
        quality = (0.01, 1.0, 90.0, 4.3, 0.0)
        usual = LegStats(leg, *counts, 3.5, 40.0, None, None, -30.0, False, 2.5, *quality)
        return replace(usual, **self.figures.get(leg, {}))

    def mixers(self) -> list[MixerState]:
        load = Load(len(self.connected), 1, 50, 0, 0, 300.0, 900.0, 500, 500, 0, 0, 0, {})
        return [MixerState(load, up=True, takes_legs=not self.full)]

    def emit(self, message: Message) -> None:
        self._handler(message)


class Records:
    """The store without a database; what it gives out are copies, as a database would."""

    def __init__(self) -> None:
        self.tables: dict[type[Any], dict[str, Any]] = {ConferenceRecord: {}, ParticipantRecord: {}, LegRecord: {}}
        self.log: list[EventRecord] = []

    @property
    def committed_seq(self) -> int:
        return len(self.log)

    def save(self, record: ConferenceRecord | ParticipantRecord | LegRecord) -> None:
        if isinstance(record, LegRecord):
            assert record.conference is None or record.conference in self.tables[ConferenceRecord]
            assert record.participant is None or record.participant in self.tables[ParticipantRecord]
        self.tables[type(record)][record.id] = replace(record)

    def append(self, kind: str, *, conference: str | None, data: dict[str, Any], time: datetime | None = None) -> int:
        seq = len(self.log) + 1
        self.log.append(
            EventRecord(seq=seq, time=time or datetime.now(UTC), kind=kind, conference=conference, data=data)
        )
        return seq

    async def flush(self) -> None:
        return

    async def conference(self, conference_id: str) -> ConferenceRecord | None:
        return self.tables[ConferenceRecord].get(conference_id)

    async def conference_by_request(self, request_key: str) -> ConferenceRecord | None:
        return next((c for c in self.tables[ConferenceRecord].values() if c.request_key == request_key), None)

    async def conferences(
        self, *, states: Sequence[str] = (), limit: int = 50, cursor: str | None = None
    ) -> Page[ConferenceRecord]:
        found = [c for c in self.tables[ConferenceRecord].values() if not states or c.state in states]
        return Page(found[::-1][:limit], None, len(found))

    async def open_conferences(self) -> list[ConferenceRecord]:
        return [c for c in self.tables[ConferenceRecord].values() if c.state != "ended"]

    async def participants(self, conference_id: str) -> list[ParticipantRecord]:
        return [p for p in self.tables[ParticipantRecord].values() if p.conference == conference_id]

    async def participant_by_request(self, request_key: str) -> ParticipantRecord | None:
        return next((p for p in self.tables[ParticipantRecord].values() if p.request_key == request_key), None)

    async def legs(
        self, *, conference_id: str | None = None, limit: int = 50, cursor: str | None = None
    ) -> Page[LegRecord]:
        found = [r for r in self.tables[LegRecord].values() if r.conference == conference_id]
        return Page(found[::-1][:limit], None, len(found))

    async def unfinished_legs(self) -> list[LegRecord]:
        return [r for r in self.tables[LegRecord].values() if r.ended is None]

    async def events(
        self, *, after: int = 0, upto: int | None = None, conference_id: str | None = None, limit: int = 500
    ) -> list[EventRecord]:
        return [e for e in self.log if e.seq > after][:limit]

    def kinds(self) -> list[str]:
        return [event.kind for event in self.log]

    def cdrs(self) -> list[LegRecord]:
        return list(self.tables[LegRecord].values())


class Server:
    """A service between its doubles."""

    def __init__(self, store: Records | None = None, clock: Clock | None = None, **config: Any) -> None:
        self.clock = clock or Clock()
        self.store = store or Records()
        self.phones = Phones()
        self.media = Media()
        self.service = ConferenceService(
            self.store,
            self.phones,
            self.media,
            ConferenceConfig(**config),
            sip_host="192.0.2.1",
            clock=self.clock,
        )

    def pass_time(self, seconds: float) -> None:
        """Let time pass, the service's timer in it whenever it is due."""
        until = self.clock.now + seconds
        while (due := self.service.registry.due()) is not None and due <= until:
            self.clock.now = max(self.clock.now, due)
            self.service.registry.handle_timer()
        self.clock.now = until


def sdp(
    host: str = "192.0.2.7",
    port: int = 7000,
    *,
    payload: str = "8 0 101",
    direction: str = "sendrecv",
    version: int = 1,
) -> bytes:
    """What an ordinary phone describes; payload types 0 and 8 are static, 101 is telephone-event."""
    family = "IP6" if ":" in host else "IP4"
    lines = [
        "v=0",
        f"o=- 7 {version} IN {family} {host}",
        "s=-",
        f"c=IN {family} {host}",
        "t=0 0",
        f"m=audio {port} RTP/AVP {payload}",
        "a=rtpmap:101 telephone-event/8000",
        f"a={direction}",
        "",
    ]
    return "\r\n".join(lines).encode()
