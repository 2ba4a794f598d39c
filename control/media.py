"""The mixer processes and their lanes behind one face: fills ``control.ports.Media``.

Control opens the lanes and keeps them, with what every leg's media is; a mixer process only borrows both. When one
dies, or gives no sign of life, a process that stands by takes over its lanes and is told of its legs: sound comes back
and nobody is hung up (mission N13).
"""

from __future__ import annotations

import asyncio
import itertools
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import structlog

from control.config import MediaConfig
from control.leg_queries import Answer, LegQueries
from control.mixer_process import MixerProcess, MixerStartError
from control.placement import Placement
from control.ports import DEFAULT_ROOM, MediaAddress, MediaLost, MediaRestored, MixerState, NoMediaAddressError
from mixer.datagrams import open_lane
from mixer.protocol import (
    AddLeg,
    LegMedia,
    LegStats,
    Load,
    Message,
    QueryDone,
    RemoveLeg,
    RoomSettings,
    SetLeg,
    SetRoom,
    UpdateLeg,
)

log = structlog.get_logger(__name__)

CAPACITY = 4096
STATS_SECONDS = 1.0
STATS_SECONDS_PER_LEG = 0.005
"""How long figures are waited for: a mixer gives a batch of them a tick, more slowly when it is busy."""
RESTART_PAUSE = 1.0
"""Between attempts to start a mixer that does not come up."""
LINK = "link:"
"""Legs between two mixers have names that begin so; they are nobody's."""
_NOTHING = LegMedia("PCMU", 0, (), None, None, None)


class MediaError(Exception):
    """The media side cannot start; ``str()`` is one clear line."""


@dataclass(slots=True)
class _Seat:
    """What a leg's media is, to tell any mixer that takes over."""

    mixer: int
    command: AddLeg
    connected: bool = False


class _Mixer:
    """One mixer's lanes, its process, and the legs it is to know."""

    def __init__(self, number: int, lanes: list[int]) -> None:
        self.number = number
        self.lanes = lanes
        """Its lanes' places among all."""
        self.process: MixerProcess | None = None
        self.load: Load | None = None
        self.queries = LegQueries(self.tell)
        self.supervisor: asyncio.Task[None] | None = None

    def tell(self, message: Message) -> None:
        """While there is no process, the seats are what the next one is told."""
        if self.process is not None:
            self.process.tell(message)


class MixerPool:
    """Lanes, supervised mixer processes, and the legs that are in them.

    ``capacity``: rows of a mixer; how many legs it takes is measured, and never more than these.
    """

    def __init__(self, config: MediaConfig, *, capacity: int = CAPACITY) -> None:
        self._config = config
        self._capacity = capacity
        ports = len(config.ports.numbers)
        count = min(config.mixers or os.cpu_count() or 1, ports)
        self._mixers: list[_Mixer] = [_Mixer(number, []) for number in range(count)]
        self._placement = Placement(count, capacity)
        self._handlers: list[Callable[[Message], None]] = []
        self._lanes: list[socket.socket] = []
        self._turn: dict[tuple[int, int], Iterator[int]] = {}
        """By mixer and family: places of its lanes, one after the other."""
        self._link_lane: dict[int, int] = {}
        """By mixer: place of the lane that only other mixers send to."""
        self._seats: dict[str, _Seat] = {}
        self._standby: asyncio.Task[MixerProcess] | None = None
        self.restarts = 0

    # --- life --------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open the lanes and start the mixers. Raises MediaError."""
        self._open_lanes()
        try:
            processes = await asyncio.gather(*(self._launch() for _ in self._mixers))
        except MixerStartError as error:
            raise MediaError(str(error)) from error
        for mixer, process in zip(self._mixers, processes, strict=True):
            self._install(mixer, process)
            mixer.supervisor = asyncio.create_task(self._supervise(mixer), name=f"mixer {mixer.number} supervisor")
        self._stand_by()

    async def close(self) -> None:
        """Stop the mixers and close the lanes."""
        tasks = [task for task in (self._standby, *(m.supervisor for m in self._mixers)) if task is not None]
        for mixer in self._mixers:
            if mixer.supervisor is not None:
                mixer.supervisor.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        spare = [result for result in results if isinstance(result, MixerProcess)]
        running = [mixer.process for mixer in self._mixers if mixer.process is not None]
        await asyncio.gather(*(process.stop() for process in (*spare, *running)))
        for lane in self._lanes:
            lane.close()

    @property
    def healthy(self) -> bool:
        """Every mixer runs and answers."""
        return all(mixer.process is not None and mixer.process.alive for mixer in self._mixers)

    @property
    def pids(self) -> list[int]:
        """Processes that mix (those standing by not among them)."""
        return [mixer.process.pid for mixer in self._mixers if mixer.process is not None]

    def _open_lanes(self) -> None:
        config, count = self._config, len(self._mixers)
        places: dict[tuple[int, int], list[int]] = {}
        for host in filter(None, (config.host, config.host6)):
            family = 6 if ":" in host else 4
            for i, port in enumerate(config.ports.numbers):
                places.setdefault((i % count, family), []).append(self._open_lane(host, port))
        self._turn = {key: itertools.cycle(lanes) for key, lanes in places.items()}
        for (mixer, _), lanes in places.items():
            self._mixers[mixer].lanes += lanes
        if count > 1:
            for mixer_ in self._mixers:
                lane = self._link_lane[mixer_.number] = self._open_lane("127.0.0.1", 0)
                mixer_.lanes.append(lane)

    def _open_lane(self, host: str, port: int) -> int:
        try:
            self._lanes.append(open_lane(host, port))
        except OSError as error:
            for lane in self._lanes:
                lane.close()
            raise MediaError(
                f"media.ports: cannot open UDP port {port} on {host}: {error.strerror}"
                " (is another Veche running? choose others with VECHE_MEDIA__PORTS)"
            ) from error
        return len(self._lanes) - 1

    async def _launch(self) -> MixerProcess:
        low, high = str(self._config.jitter_min_ms), str(self._config.jitter_max_ms)
        options = ["--capacity", str(self._capacity), "--min-delay-ms", low, "--max-delay-ms", high]
        if self._link_lane:
            options.append("--linked")
        return await MixerProcess.launch(self._lanes, options)

    def _stand_by(self) -> None:
        """Start the process that takes over from the next mixer lost."""
        self._standby = asyncio.create_task(self._launch(), name="mixer standing by")

    def _install(self, mixer: _Mixer, process: MixerProcess) -> None:
        """``process`` is the mixer from now on, and is told all there is to know."""
        mixer.process = process
        process.handler = lambda message: self._receive(mixer, message)
        process.assume(mixer.lanes)
        for seat in self._seats.values():
            if seat.connected and seat.mixer == mixer.number:
                process.tell(seat.command)

    async def _supervise(self, mixer: _Mixer) -> None:
        """Replace the mixer's process whenever it is lost."""
        while mixer.process is not None:
            process = mixer.process
            await process.lost()
            began = time.monotonic()
            mixer.process = None
            legs = tuple(name for name, seat in self._seats.items() if seat.mixer == mixer.number)
            log.error("mixer lost", mixer=mixer.number, pid=process.pid, reason=process.failure, legs=len(legs))
            self._publish(MediaLost(mixer.number, process.failure, legs))
            mixer.queries.drop()
            self.restarts += 1
            process = await self._replacement()
            self._install(mixer, process)
            seconds = round(time.monotonic() - began, 3)
            log.warning("mixer replaced", mixer=mixer.number, pid=process.pid, legs=len(legs), seconds=seconds)
            self._publish(MediaRestored(mixer.number, seconds, legs))

    async def _replacement(self) -> MixerProcess:
        """The process standing by, or, when it did not come up, a new one as soon as there is one."""
        while True:
            assert self._standby is not None
            standby = self._standby
            try:
                process = await standby
            except MixerStartError as error:
                log.error("mixer does not start", reason=str(error))
                await asyncio.sleep(RESTART_PAUSE)
                process = None
            if self._standby is standby:
                self._stand_by()
                if process is not None and process.alive:
                    return process

    # --- control.ports.Media -----------------------------------------------------------------------------------------

    def subscribe(self, handler: Callable[[Message], None]) -> None:
        self._handlers.append(handler)

    def reserve(self, leg: str, conference: str, *, family: int = 4, room: RoomSettings = DEFAULT_ROOM) -> MediaAddress:
        if (0, family) not in self._turn:
            raise NoMediaAddressError(family)
        place = self._placement.take(conference)
        if place.link_to is not None:
            self._link(conference, place.link_to, place.mixer, room)
        place_of_lane = next(self._turn[place.mixer, family])
        mixer = self._mixers[place.mixer]
        host, port = self._lanes[place_of_lane].getsockname()[:2]
        command = AddLeg(leg, conference, mixer.lanes.index(place_of_lane), _new_ssrc(), _NOTHING, room=room)
        self._seats[leg] = _Seat(place.mixer, command)
        announced = self._config.announce if family == 4 and self._config.announce else host
        return MediaAddress(announced, port, place_of_lane, command.ssrc)

    def check_capacity(self, conference: str, legs: int = 1) -> None:
        self._placement.check(conference, legs)

    def configure(self, conference: str, room: RoomSettings) -> None:
        mixers = set()
        for seat in self._seats.values():
            if seat.command.conference == conference:
                seat.command = replace(seat.command, room=room)
                mixers.add(seat.mixer)
        for mixer in mixers:
            self._mixers[mixer].tell(SetRoom(conference, room))

    def connect(self, leg: str, media: LegMedia) -> None:
        seat = self._seats.get(leg)
        if seat is None:
            return
        seat.command = replace(seat.command, media=media)
        self._mixers[seat.mixer].tell(UpdateLeg(leg, media) if seat.connected else seat.command)
        seat.connected = True

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
        seat = self._seats.get(leg)
        if seat is None:
            return
        change = SetLeg(leg, mute, deaf, talk_gain_db, listen_gain_db, levelling)
        given = {name: value for name in SetLeg.__slots__ if (value := getattr(change, name)) is not None}
        seat.command = replace(seat.command, **given)
        if seat.connected:
            self._mixers[seat.mixer].tell(change)

    def release(self, leg: str) -> None:
        seat = self._seats.pop(leg, None)
        if seat is None:
            return
        if seat.connected:
            self._mixers[seat.mixer].tell(RemoveLeg(leg))
        conference = seat.command.conference
        home = self._placement.home(conference)
        for part in self._placement.give_back(conference, seat.mixer):
            for name in _link_names(conference, home, part):
                link = self._seats.pop(name)
                self._mixers[link.mixer].tell(RemoveLeg(name))

    async def stats(self, leg: str) -> LegStats | None:
        return (await self.stats_of((leg,))).get(leg)

    async def stats_of(self, legs: Iterable[str]) -> dict[str, LegStats]:
        asked: dict[int, list[str]] = {}
        for leg in legs:
            seat = self._seats.get(leg)
            if seat is not None and seat.connected and self._mixers[seat.mixer].process is not None:
                asked.setdefault(seat.mixer, []).append(leg)
        answers: dict[str, Answer] = {}
        for number, names in asked.items():
            answers |= self._mixers[number].queries.ask(names)
        if answers:
            # shared with whoever else asks for the same leg: waited for, never cancelled
            await asyncio.wait(answers.values(), timeout=STATS_SECONDS + len(answers) * STATS_SECONDS_PER_LEG)
        given = {leg: answer.result() for leg, answer in answers.items() if answer.done()}
        return {leg: stats for leg, stats in given.items() if stats is not None}

    def mixers(self) -> list[MixerState]:
        rooms = self._placement.rooms
        return [
            MixerState(mixer.load, mixer.process is not None and mixer.process.alive, rooms[mixer.number].takes())
            for mixer in self._mixers
            if mixer.load is not None
        ]

    # --- the mixers' side --------------------------------------------------------------------------------------------

    def _link(self, conference: str, home: int, part: int, room: RoomSettings) -> None:
        """A leg between two mixers: each hears of the other all but what it said itself.

        What comes over it has been levelled where it was spoken.
        """
        ssrcs = _new_ssrc(), _new_ssrc()
        names = _link_names(conference, home, part)
        for name, mixer, other, ours, theirs in zip(
            names, (home, part), (part, home), ssrcs, reversed(ssrcs), strict=True
        ):
            remote = self._lanes[self._link_lane[other]].getsockname()[:2]
            media = LegMedia("PCMA", 8, (8,), None, remote, None, rtcp_mux=True, remote_ssrc=theirs)
            lane = self._mixers[mixer].lanes.index(self._link_lane[mixer])
            command = AddLeg(name, conference, lane, ours, media, levelling=False, room=room)
            self._seats[name] = _Seat(mixer, command, connected=True)
            self._mixers[mixer].tell(command)

    def _receive(self, mixer: _Mixer, message: Message) -> None:
        match message:
            case LegStats() | QueryDone():
                mixer.queries.receive(message)
                return
            case Load():
                mixer.load = message
                self._placement.rooms[mixer.number].note(message)
        if not getattr(message, "leg", "").startswith(LINK):
            self._publish(message)

    def _publish(self, message: Message) -> None:
        for handler in self._handlers:
            handler(message)


def _new_ssrc() -> int:
    return secrets.randbits(32) or 1


def _link_names(conference: str, home: int | None, part: int) -> tuple[str, str]:
    """Names of a link's two legs, the home's first."""
    return f"{LINK}{conference}:{home}-{part}", f"{LINK}{conference}:{part}-{home}"
