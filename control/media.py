"""The mixer process and its lanes, as control sees them: fills ``control.ports.Media``.

Control opens the lanes and keeps them, with what every leg's media is; the mixer process only borrows both. When it
dies, or gives no sign of life, a new one is started on the same sockets and told of every leg, so sound comes back and
nobody is hung up (mission N13).
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from control.config import MediaConfig
from control.ports import MediaAddress, MediaFullError
from mixer.datagrams import open_lane
from mixer.protocol import (
    AddLeg,
    Decoder,
    LegMedia,
    LegStats,
    Load,
    Message,
    Ping,
    Pong,
    ProtocolError,
    QueryDone,
    QueryLegs,
    Ready,
    RemoveLeg,
    SetLeg,
    Shutdown,
    UpdateLeg,
    encode,
)  # fmt: skip

log = structlog.get_logger(__name__)

CAPACITY = 4096
PING_SECONDS = 0.5
HANG_SECONDS = 2.0
"""A mixer that has not answered for so long is replaced."""
START_SECONDS = 20.0
STATS_SECONDS = 1.0
RESTART_PAUSE = 1.0
"""Between restarts of a mixer that dies at once."""


class MediaError(Exception):
    """The media side cannot start; ``str()`` is one clear line."""


@dataclass(slots=True)
class _Seat:
    """What a leg's media is, to tell any mixer."""

    command: AddLeg
    """Media is None-like until ``connected``."""
    connected: bool = False


class MixerPool:
    """Lanes, a supervised mixer process, and the legs that are in it."""

    def __init__(self, config: MediaConfig) -> None:
        self._config = config
        self._handlers: list[Callable[[Message], None]] = []
        self._lanes: list[socket.socket] = []
        self._by_family: dict[int, itertools.cycle[int]] = {}
        self._seats: dict[str, _Seat] = {}
        self._mixer: _Mixer | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._load: Load | None = None
        self._queries: dict[int, asyncio.Future[None]] = {}
        self._answers: dict[str, LegStats] = {}
        self._token = itertools.count(1)
        self._closing = False
        self.restarts = 0

    # --- life --------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open the lanes and start the mixer. Raises MediaError."""
        self._open_lanes()
        self._mixer = await self._launch()
        self._supervisor = asyncio.create_task(self._supervise(), name="mixer supervisor")

    async def close(self) -> None:
        """Stop the mixer and close the lanes."""
        self._closing = True
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.gather(self._supervisor, return_exceptions=True)
        if self._mixer is not None:
            await self._mixer.stop()
        for lane in self._lanes:
            lane.close()

    @property
    def healthy(self) -> bool:
        """The mixer runs and answers."""
        return self._mixer is not None and self._mixer.alive

    @property
    def pid(self) -> int | None:
        return self._mixer.pid if self._mixer else None

    def _open_lanes(self) -> None:
        config = self._config
        hosts = [config.host] + ([config.host6] if config.host6 else [])
        for host in hosts:
            first = len(self._lanes)
            for port in config.ports.numbers:
                try:
                    self._lanes.append(open_lane(host, port))
                except OSError as error:
                    for lane in self._lanes:
                        lane.close()
                    raise MediaError(
                        f"media.ports: cannot open UDP port {port} on {host}: {error.strerror}"
                        " (is another Veche running? choose others with VECHE_MEDIA__PORTS)"
                    ) from error
            self._by_family[6 if ":" in host else 4] = itertools.cycle(range(first, len(self._lanes)))

    async def _launch(self) -> _Mixer:
        mixer = await _Mixer.launch(self._lanes, self._config, self._receive)
        for seat in self._seats.values():
            if seat.connected:
                mixer.tell(seat.command)
        return mixer

    async def _supervise(self) -> None:
        """Keep a mixer running: replace one that is dead or silent."""
        while True:
            mixer = self._mixer
            if mixer is not None:
                await mixer.fail()
                log.error("mixer lost", pid=mixer.pid, reason=mixer.failure, legs=len(self._seats))
                self._mixer = None
                self._drop_queries()
            self.restarts += 1
            try:
                self._mixer = await self._launch()
                log.warning("mixer replaced", pid=self._mixer.pid, legs=len(self._seats))
            except MediaError as error:
                log.error("mixer does not start", reason=str(error))
                await asyncio.sleep(RESTART_PAUSE)

    # --- control.ports.Media -----------------------------------------------------------------------------------------

    def subscribe(self, handler: Callable[[Message], None]) -> None:
        self._handlers.append(handler)

    def reserve(self, leg: str, conference: str, *, family: int = 4) -> MediaAddress:
        lanes = self._by_family.get(family)
        if lanes is None:
            raise MediaFullError(f"no media address for IPv{family}", retry_after=3600)
        if len(self._seats) >= CAPACITY:
            raise MediaFullError(f"all {CAPACITY} media places are taken")
        lane = next(lanes)
        host, port = self._lanes[lane].getsockname()[:2]
        ssrc = secrets.randbits(32) or 1
        nothing = LegMedia("PCMU", 0, (), None, None, None)
        self._seats[leg] = _Seat(AddLeg(leg, conference, lane, ssrc, nothing))
        announced = self._config.announce if family == 4 and self._config.announce else host
        return MediaAddress(announced, port, lane, ssrc)

    def connect(self, leg: str, media: LegMedia) -> None:
        seat = self._seats.get(leg)
        if seat is None:
            return
        seat.command = replace(seat.command, media=media)
        self._tell(UpdateLeg(leg, media) if seat.connected else seat.command)
        seat.connected = True

    def adjust(
        self,
        leg: str,
        *,
        mute: bool | None = None,
        deaf: bool | None = None,
        talk_gain_db: float | None = None,
        listen_gain_db: float | None = None,
    ) -> None:
        seat = self._seats.get(leg)
        if seat is None:
            return
        command = seat.command
        seat.command = replace(
            command,
            mute=command.mute if mute is None else mute,
            deaf=command.deaf if deaf is None else deaf,
            talk_gain_db=command.talk_gain_db if talk_gain_db is None else talk_gain_db,
            listen_gain_db=command.listen_gain_db if listen_gain_db is None else listen_gain_db,
        )
        if seat.connected:
            self._tell(SetLeg(leg, mute, deaf, talk_gain_db, listen_gain_db))

    def release(self, leg: str) -> None:
        seat = self._seats.pop(leg, None)
        if seat is not None and seat.connected:
            self._tell(RemoveLeg(leg))

    async def stats(self, leg: str) -> LegStats | None:
        seat = self._seats.get(leg)
        if seat is None or not seat.connected or self._mixer is None:
            return None
        token = next(self._token)
        done = self._queries[token] = asyncio.get_running_loop().create_future()
        self._tell(QueryLegs(token, (leg,)))
        try:
            await asyncio.wait_for(done, STATS_SECONDS)
        except TimeoutError:
            return None
        finally:
            self._queries.pop(token, None)
        return self._answers.pop(leg, None)

    def load(self) -> list[Load]:
        return [self._load] if self._load else []

    # --- the mixer's side --------------------------------------------------------------------------------------------

    def _tell(self, message: Message) -> None:
        """To the mixer; while there is none, the seats are what the next one is told."""
        if self._mixer is not None:
            self._mixer.tell(message)

    def _receive(self, message: Message) -> None:
        match message:
            case LegStats(leg):
                self._answers[leg] = message
                return
            case QueryDone(token):
                done = self._queries.get(token)
                if done is not None and not done.done():
                    done.set_result(None)
                return
            case Load():
                self._load = message
        for handler in self._handlers:
            handler(message)

    def _drop_queries(self) -> None:
        for done in self._queries.values():
            if not done.done():
                done.set_result(None)


class _Mixer:
    """One mixer process and the socket to it."""

    def __init__(self, process: asyncio.subprocess.Process, writer: asyncio.StreamWriter) -> None:
        self.failure = ""
        self._process = process
        self._writer = writer
        self._ready = asyncio.get_running_loop().create_future()
        self._heard = asyncio.get_running_loop().time()
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    async def launch(
        cls, lanes: list[socket.socket], config: MediaConfig, receive: Callable[[Message], None]
    ) -> _Mixer:
        """Start a process on ``lanes`` and wait until it ticks. Raises MediaError."""
        ours, theirs = socket.socketpair()
        fds = [theirs.fileno(), *(lane.fileno() for lane in lanes)]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "mixer.process", *map(str, fds),
            "--capacity", str(CAPACITY),
            "--min-delay-ms", str(config.jitter_min_ms), "--max-delay-ms", str(config.jitter_max_ms),
            pass_fds=fds, stdin=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        theirs.close()
        reader, writer = await asyncio.open_connection(sock=ours)
        mixer = cls(process, writer)
        mixer._tasks = [
            asyncio.create_task(mixer._read(reader, receive), name="mixer reader"),
            asyncio.create_task(mixer._ping(), name="mixer ping"),
        ]
        try:
            await asyncio.wait_for(asyncio.shield(mixer._ready), START_SECONDS)
        except (TimeoutError, ConnectionError) as error:
            await mixer.stop()
            raise MediaError("the mixer process does not start") from error
        return mixer

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.returncode is None and not self.failure

    def tell(self, message: Message) -> None:
        if not self._writer.is_closing():
            self._writer.write(encode(message))

    async def fail(self) -> None:
        """Returns when the mixer is lost; it is then certainly dead."""
        await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        await self._end()

    async def stop(self) -> None:
        """Ask it to end; kill it if it does not."""
        self.tell(Shutdown())
        try:
            await asyncio.wait_for(self._process.wait(), HANG_SECONDS)
        except TimeoutError:
            self.failure = "did not stop"
        await self._end()

    async def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        self._writer.close()
        if self._ready.done():
            self._ready.exception()

    async def _read(self, reader: asyncio.StreamReader, receive: Callable[[Message], None]) -> None:
        loop = asyncio.get_running_loop()
        decoder = Decoder()
        try:
            while data := await reader.read(1 << 18):
                self._heard = loop.time()
                for message in decoder.feed(data):
                    match message:
                        case Ready():
                            if not self._ready.done():
                                self._ready.set_result(None)
                        case Pong():
                            continue
                        case _:
                            receive(message)
            self.failure = self.failure or "its socket closed"
        except (ConnectionError, ProtocolError) as error:
            self.failure = str(error)
        if not self._ready.done():
            self._ready.set_exception(ConnectionError(self.failure))

    async def _ping(self) -> None:
        """Ends when the mixer has given no sign of life for HANG_SECONDS."""
        loop = asyncio.get_running_loop()
        await self._ready
        self._heard = loop.time()
        for token in itertools.count():
            before = loop.time()
            self.tell(Ping(token))
            await asyncio.sleep(PING_SECONDS)
            overslept = loop.time() - before - PING_SECONDS
            self._heard += max(overslept, 0)  # when this process was held up, that is not the mixer's silence
            if loop.time() - self._heard > HANG_SECONDS:
                self.failure = f"no sign of life for {HANG_SECONDS:.0f} s"
                return
