"""A mixer process driven directly over mixer.protocol, without SIP and without the control process."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Sequence

from benchmarks.phones import PhoneBank
from benchmarks.tones import Seating
from mixer.datagrams import open_lane
from mixer.protocol import AddLeg, Assume, Decoder, LegMedia, Load, Message, Profile, Ready, Shutdown, encode

HOST = "127.0.0.1"


def open_lanes(count: int) -> list[socket.socket]:
    """Lanes on free ports."""
    return [open_lane(HOST, 0) for _ in range(count)]


class Engine:
    """One mixer process with its lanes and its control socket."""

    def __init__(self, lanes: int, *, stages: bool = False) -> None:
        self.lanes = open_lanes(lanes)
        self._loads: list[Load] = []
        self._decoder = Decoder()
        self._socket, theirs = socket.socketpair()
        fds = [theirs.fileno(), *(lane.fileno() for lane in self.lanes)]
        command = [sys.executable, "-P", "-m", "mixer.process", *map(str, fds)]
        self._process = subprocess.Popen(command, pass_fds=fds)
        theirs.close()
        self._await_ready()
        self.tell(Assume(tuple(range(len(self.lanes)))))
        if stages:
            self.tell(Profile(on=True))

    @property
    def pids(self) -> list[int]:
        return [self._process.pid]

    def seat(self, seating: Seating, phones: PhoneBank) -> list[tuple[str, int]]:
        """Add a leg for every phone; where each has to send."""
        rooms = seating.room_of()
        for leg, form in enumerate(phones.formats):
            media = LegMedia(
                codec=form.name,
                send_pt=form.payload_type,
                receive_pts=(form.payload_type,),
                event_pt=101,
                remote=phones.address(leg),
                remote_rtcp=None,
                rtcp_mux=True,
            )
            lane, ssrc = leg % len(self.lanes), 1000 + leg
            self.tell(AddLeg(leg=f"leg-{leg}", conference=f"room-{rooms[leg]}", lane=lane, ssrc=ssrc, media=media))
        return [self.lanes[leg % len(self.lanes)].getsockname()[:2] for leg in range(seating.legs)]

    def tell(self, message: Message) -> None:
        self._socket.setblocking(True)
        self._socket.sendall(encode(message))

    def poll(self) -> list[Message]:
        """Take what the mixer reported; its loads are kept."""
        self._socket.setblocking(False)
        messages: list[Message] = []
        try:
            while data := self._socket.recv(1 << 16):
                messages += self._decoder.feed(data)
        except BlockingIOError:
            pass
        self._loads += [message for message in messages if isinstance(message, Load)]
        return messages

    def loads(self) -> list[Load]:
        """What the mixer reported since this was asked last, one a second."""
        self.poll()
        loads, self._loads = self._loads, []
        return loads

    def warnings(self) -> str:
        """Nothing: a mixer does not log."""
        return ""

    def close(self) -> None:
        """Shut the mixer down; kill it when it does not obey. Calling it again does nothing."""
        if self._process.returncode is not None:
            return
        try:
            self.tell(Shutdown())
            self._process.wait(5)
        except (OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        for sock in (self._socket, *self.lanes):
            sock.close()

    def _await_ready(self) -> None:
        deadline = time.monotonic() + 20
        while not any(isinstance(message, Ready) for message in self.poll()):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the mixer process did not come up")
            time.sleep(0.01)


class Floor:
    """The process of benchmarks.floor with lanes of its own."""

    def __init__(self, lanes: int, phones: PhoneBank, legs: int) -> None:
        self.lanes = open_lanes(lanes)
        fds = [lane.fileno() for lane in self.lanes]
        places = [[leg % lanes, *phones.address(leg)] for leg in range(legs)]
        command = [sys.executable, "-P", "-m", "benchmarks.floor"]
        self._process = subprocess.Popen(
            command, pass_fds=fds, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"lanes": fds, "legs": places}) + "\n")
        self._process.stdin.flush()
        if self._process.stdout.readline() != "ready\n":
            raise RuntimeError("the floor process did not come up")

    @property
    def pids(self) -> list[int]:
        return [self._process.pid]

    def destinations(self, legs: int) -> Sequence[tuple[str, int]]:
        return [self.lanes[leg % len(self.lanes)].getsockname()[:2] for leg in range(legs)]

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()
        for lane in self.lanes:
            lane.close()
