"""A recorder process: writes what the mixers tap off to files.

``python -m mixer.recorder CONTROL_FD TAP_FD`` takes commands from control, frames from the tap, and ends with Shutdown
or when control is gone; then what it records is finished and safe on the disk. One thread receives and never waits for
the disk, another encodes and writes: a disk that stalls costs memory, up to a bound, not sound. It may die without harm
to the calls.
"""

from __future__ import annotations

import argparse
import errno
import os
import select
import signal
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import av
import numpy as np

from .process import Link, Stop
from .protocol import Message, Ping, Pong, ProtocolError, Ready
from .recorder_protocol import (
    PauseRecording,
    RecordingFailed,
    RecordingStarted,
    ResumeRecording,
    StartRecording,
    StopRecording,
)
from .recorder_track import LimitReached, Track
from .tap import HEADER, MAX_DATAGRAM

CHECK_SECONDS: Final = 1.0
"""How often the disk's free space is looked at."""
TAP_SECONDS: Final = 0.04
"""How often frames are fetched. Nobody sleeps on the tap: each send would have to wake him, which costs the tick ten
times what the sending does."""
MAX_WAITING: Final = 128 << 20
"""Bytes of frames that may wait for the disk: more than a minute of ten conferences at 48 kHz. More become silence, and
are told as missing."""
_FULL: Final = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))


class Recorder:
    """All recordings of a process. ``report`` takes what there is to tell control."""

    def __init__(self, report: Callable[[Message], None]) -> None:
        self._report = report
        self._tracks: dict[str, Track] = {}
        self._by_stream: dict[int, Track] = {}

    def apply(self, command: Message) -> None:
        """Carry out a command; one for a recording that is not running is ignored."""
        match command:
            case StartRecording(name) if name not in self._tracks:
                self._start(command)
            case PauseRecording(name) if name in self._tracks:
                self._tracks[name].pause()
            case ResumeRecording(name) if name in self._tracks:
                self._tracks[name].resume()
            case StopRecording(name) if name in self._tracks:
                self._end(self._tracks[name], "stopped")

    def take(self, datagram: bytes) -> None:
        """One datagram from the tap; what belongs to no recording is ignored."""
        if len(datagram) < HEADER.size:
            return
        tick, stream, rate = HEADER.unpack_from(datagram)
        track = self._by_stream.get(stream)
        if track is None or (len(datagram) - HEADER.size) % 2:
            return
        try:
            track.take(tick, rate, np.frombuffer(datagram, "<i2", offset=HEADER.size))
        except LimitReached as limit:
            self._end(track, str(limit))
        except (OSError, av.FFmpegError) as error:
            self._fail(track, error)

    def check_disk(self) -> None:
        """End what leaves too little free."""
        for track in list(self._tracks.values()):
            try:
                track.check_disk()
            except OSError as error:
                self._fail(track, error)

    def close(self) -> None:
        """Finish everything."""
        for track in list(self._tracks.values()):
            self._end(track, "shutdown")

    def _start(self, command: StartRecording) -> None:
        try:
            if command.stream in self._by_stream:
                raise ValueError(f"stream: {command.stream} is being recorded already")
            track = Track(command)
        except (OSError, ValueError, av.FFmpegError) as error:
            reason, full = _why(error)
            self._report(RecordingFailed(command.recording, command.part, command.path, reason, full, 0.0, 0))
            return
        self._tracks[command.recording] = self._by_stream[command.stream] = track
        self._report(RecordingStarted(command.recording, command.part, command.path))

    def _end(self, track: Track, reason: str) -> None:
        try:
            event = track.end(reason)
        except (OSError, av.FFmpegError) as error:
            self._fail(track, error)
            return
        self._forget(track)
        self._report(event)

    def _fail(self, track: Track, error: Exception) -> None:
        self._forget(track)
        self._report(track.abandon(*_why(error)))

    def _forget(self, track: Track) -> None:
        del self._tracks[track.command.recording]
        del self._by_stream[track.command.stream]


def _why(error: Exception) -> tuple[str, bool]:
    """What went wrong, and whether the disk is full."""
    if isinstance(error, OSError):
        return error.strerror or str(error), error.errno in _FULL
    return str(error), False


class Writer(threading.Thread):
    """The thread that writes: does what it is given in order. ``wake`` is called when there are ``events``."""

    def __init__(self, wake: Callable[[], None]) -> None:
        super().__init__(name="recorder writer", daemon=True)
        self.events: deque[Message] = deque()
        self._wake = wake
        self._work: deque[Message | bytes | None] = deque()
        self._waiting = 0
        self._taken = 0
        self._ready = threading.Semaphore(0)

    def command(self, message: Message) -> None:
        self._work.append(message)
        self._ready.release()

    def frame(self, datagram: bytes) -> None:
        if self._waiting - self._taken > MAX_WAITING:
            return
        self._waiting += len(datagram)
        self._work.append(datagram)
        self._ready.release()

    def finish(self) -> None:
        """Do what waits, finish all files, and end."""
        self._work.append(None)
        self._ready.release()

    def run(self) -> None:
        recorder = Recorder(self._tell)
        check = time.monotonic() + CHECK_SECONDS
        try:
            while self._step(recorder):
                if time.monotonic() > check:
                    recorder.check_disk()
                    check = time.monotonic() + CHECK_SECONDS
        finally:
            recorder.close()
            self._wake()

    def _step(self, recorder: Recorder) -> bool:
        if not self._ready.acquire(timeout=CHECK_SECONDS):
            return True
        work = self._work.popleft()
        if isinstance(work, bytes):
            self._taken += len(work)
            recorder.take(work)
        elif work is not None:
            recorder.apply(work)
        return work is not None

    def _tell(self, event: Message) -> None:
        self.events.append(event)
        self._wake()


class Process:
    """The thread that receives."""

    def __init__(self, control: socket.socket, tap: socket.socket) -> None:
        self._link = Link(control)
        self._control = control
        self._tap = tap
        tap.setblocking(False)
        self._woken, wakes = socket.socketpair()
        wakes.setblocking(False)
        self._woken.setblocking(False)
        self._wakes = wakes
        self._writer = Writer(self._wake)
        self._begun = False
        """Something is, or was, to be recorded: until then frames wait in the socket, for a recorder that takes over
        is told of its recordings only after its start."""

    def run(self) -> int:
        """Until told to stop; returns the exit code. Raises ProtocolError."""
        self._writer.start()
        self._link.send([Ready(os.getpid())])
        try:
            while True:
                if not self._writer.is_alive():
                    return 1
                select.select([self._control, self._woken], [], [], TAP_SECONDS if self._begun else None)
                self._round()
        except Stop:
            return 0
        finally:
            self._receive_frames()
            self._writer.finish()
            self._writer.join()
            self._link.send(self._events())

    def _round(self) -> None:
        """Frames that came before a command count before it; only what is to begin begins first."""
        commands = self._link.receive()
        for command in commands:
            if isinstance(command, StartRecording):
                self._begun = True
                self._writer.command(command)
        self._receive_frames()
        for command in commands:
            if not isinstance(command, StartRecording | Ping):
                self._writer.command(command)
        pongs: list[Message] = [Pong(command.token) for command in commands if isinstance(command, Ping)]
        self._link.send([*pongs, *self._events()])

    def _receive_frames(self) -> None:
        """All that wait on the tap."""
        while self._begun:
            try:
                datagram = self._tap.recv(MAX_DATAGRAM)
            except OSError:
                return
            if not datagram:  # no mixer is left, nor control
                self._begun = False
                return
            self._writer.frame(datagram)

    def _events(self) -> list[Message]:
        try:
            self._woken.recv(4096)
        except BlockingIOError:
            return []
        return [self._writer.events.popleft() for _ in range(len(self._writer.events))]

    def _wake(self) -> None:
        try:
            self._wakes.send(b"\0")
        except BlockingIOError:  # it will wake anyhow
            return


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="mixer.recorder", description=__doc__)
    parser.add_argument("control", type=int, help="file descriptor of the stream socket to control")
    parser.add_argument("tap", type=int, help="file descriptor of the recorder's end of the tap")
    options = parser.parse_args(arguments)
    for ignored in (signal.SIGINT, signal.SIGTERM):  # control says when to stop; a terminal's ^C reaches both of us
        signal.signal(ignored, signal.SIG_IGN)
    try:
        return Process(socket.socket(fileno=options.control), socket.socket(fileno=options.tap)).run()
    except ProtocolError as error:
        sys.stderr.write(f"recorder: control sent something unintelligible: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
