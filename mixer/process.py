"""A mixer process: the clock around the engine, and the socket to control.

``python -m mixer.process CONTROL_FD LANE_FD...`` waits until Assume names the lanes it is to serve, then ticks every 20
ms on a deadline, takes commands and gives events once a tick, reports its load once a second, and ends with Shutdown or
when control is gone.
"""

from __future__ import annotations

import argparse
import gc
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Sequence
from typing import NoReturn

from .comfort import shared_noise
from .datagrams import boost_priority
from .engine import TICKS_PER_SECOND, Engine
from .protocol import Assume, Decoder, Message, Ping, Pong, ProtocolError, Ready, Shutdown, encode

TICK = 1 / TICKS_PER_SECOND
MAX_CATCH_UP = 3
"""Ticks made up for in a row; what is later still is skipped, and counted."""
LATE = TICK / 2
_MAX_PENDING = 16 << 20
"""Bytes of events that may wait for control; then no more are taken from the engine, whose own queue is bounded."""


class Stop(Exception):  # noqa: N818 not an error
    """It is time to end."""


class Link:
    """The non-blocking end of the socket to control."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._decoder = Decoder()
        self._pending = bytearray()

    @property
    def full(self) -> bool:
        return len(self._pending) > _MAX_PENDING

    def wait(self) -> None:
        """Until there is something to receive."""
        select.select([self._socket], [], [])

    def receive(self) -> list[Message]:
        """Commands that have come. Raises Stop when control says so or is gone."""
        messages: list[Message] = []
        while True:
            try:
                data = self._socket.recv(1 << 16)
            except BlockingIOError:
                return messages
            except OSError:
                raise Stop from None
            if not data:
                raise Stop
            messages += self._decoder.feed(data)
            if any(isinstance(message, Shutdown) for message in messages):
                raise Stop

    def send(self, messages: Sequence[Message]) -> None:
        """Queue messages and write what the socket takes."""
        for message in messages:
            self._pending += encode(message)
        if self._pending:
            try:
                del self._pending[: self._socket.send(self._pending)]
            except BlockingIOError:
                return
            except OSError:
                self._pending.clear()


class Clock:
    """Deadlines of the ticks, and how well they were kept since the last report."""

    def __init__(self) -> None:
        self._next = time.monotonic() + TICK
        self.ticks = self.late = self.skipped = 0
        self._busy = self._worst = 0.0

    def wait(self) -> int:
        """Sleep until the next tick is due. Being more than MAX_CATCH_UP late skips ticks; returns how many."""
        skipped = 0
        left = self._next - time.monotonic()
        if left > 0:
            time.sleep(left)
        elif left < -LATE:
            self.late += 1
            behind = int(-left / TICK)
            if behind > MAX_CATCH_UP:
                skipped = behind - MAX_CATCH_UP
                self.skipped += skipped
                self._next += skipped * TICK
        self._next += TICK
        return skipped

    def count(self, used: float, lasted: float) -> None:
        """A tick ``used`` so many seconds of the processor and ``lasted`` so many of the clock.

        The two differ while other programs hold the processor; what a leg costs is told by the first.
        """
        self.ticks += 1
        self._busy += used
        self._worst = max(self._worst, lasted)

    def report(self) -> tuple[int, int, int, float, float]:
        """Ticks, late ticks, skipped ticks, mean and worst microseconds; counts anew."""
        result = (self.ticks, self.late, self.skipped, self._busy / max(self.ticks, 1) * 1e6, self._worst * 1e6)
        self.ticks = self.late = self.skipped = 0
        self._busy = self._worst = 0.0
        return result


def stand_by(link: Link) -> tuple[tuple[int, ...], list[Message]]:
    """Wait, without ticking, until told what lanes to serve. Returns them and the commands that came with it.

    Raises Stop.
    """
    while True:
        link.wait()
        commands = link.receive()
        for at, command in enumerate(commands):
            if isinstance(command, Assume):
                return command.lanes, commands[at + 1 :]
            if isinstance(command, Ping):
                link.send([Pong(command.token)])


def serve(link: Link, engine: Engine) -> NoReturn:
    """Tick until told to stop, which raises Stop."""
    clock = Clock()
    while True:
        engine.skip(clock.wait())
        begin, used = time.perf_counter(), time.thread_time()
        for command in link.receive():
            engine.apply(command)
        engine.tick(time.time_ns())
        clock.count(time.thread_time() - used, time.perf_counter() - begin)
        out: list[Message] = [] if link.full else engine.take_events()
        if clock.ticks >= TICKS_PER_SECOND:
            out.append(engine.load(*clock.report()))
            gc.collect()  # what there was at the start is frozen, so little is left to look at
        link.send(out)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="mixer.process", description=__doc__)
    parser.add_argument("control", type=int, help="file descriptor of the stream socket to control")
    parser.add_argument("lanes", type=int, nargs="+", help="file descriptors of the lanes' bound UDP sockets")
    parser.add_argument("--capacity", type=int, default=4096, help="most legs at once")
    parser.add_argument("--min-delay-ms", type=int, default=0, help="shortest playout delay")
    parser.add_argument("--max-delay-ms", type=int, default=400, help="longest playout delay")
    parser.add_argument("--linked", action="store_true", help="the last lane assumed is for links from other mixers")
    options = parser.parse_args(arguments)
    for ignored in (signal.SIGINT, signal.SIGTERM):  # control says when to stop; a terminal's ^C reaches both of us
        signal.signal(ignored, signal.SIG_IGN)
    boost_priority()
    shared_noise()
    link = Link(socket.socket(fileno=options.control))
    link.send([Ready(os.getpid())])
    try:
        lanes, commands = stand_by(link)
        engine = Engine(
            [options.lanes[lane] for lane in lanes],
            options.capacity,
            min_delay_ms=options.min_delay_ms,
            max_delay_ms=options.max_delay_ms,
            link_lane=len(lanes) - 1 if options.linked else None,
        )
        for command in commands:
            engine.apply(command)
        gc.collect()
        gc.freeze()
        gc.disable()
        serve(link, engine)
    except Stop:
        return 0
    except ProtocolError as error:
        sys.stderr.write(f"mixer: control sent something unintelligible: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
