"""A whole server for bench mix: sipp calls the phones in, their voices go through SIP, control and the mixer."""

from __future__ import annotations

import time
from pathlib import Path

from benchmarks.phones import PhoneBank
from benchmarks.server import Server
from benchmarks.sipp import Caller, Calls
from benchmarks.tones import Seating
from mixer.protocol import Load

CALL_RATE = 100
FIRST_NUMBER = 375290000000


class CalledServer:
    """A whole server: the phones are called in by sipp, everything goes through SIP, control and the mixer."""

    def __init__(self, folder: Path, lanes: int, seats: int) -> None:
        self._folder = folder
        self._seats = seats
        self._calls: Calls | None = None
        self._server = Server(folder, lanes=lanes)
        self._closed = False

    @property
    def pids(self) -> list[int]:
        return self._server.pids

    def seat(self, seating: Seating, phones: PhoneBank) -> list[tuple[str, int] | None]:
        rooms = [self._server.create_conference(f"Room {i}", self._seats) for i in range(seating.rooms)]
        callers = [
            Caller(rooms[room], str(FIRST_NUMBER + leg), phones.address(leg))
            for leg, room in enumerate(seating.room_of())
        ]
        self._calls = Calls(self._folder, self._server.sip, callers, seating.legs, CALL_RATE, 3600)
        deadline = time.monotonic() + seating.legs / CALL_RATE + 10
        while len(self._calls.answers()) < seating.legs and self._calls.running and time.monotonic() < deadline:
            phones.run(0.2)
        answers = self._calls.answers()
        return [answers.get(caller.number) for caller in callers]

    def calls(self) -> int:
        """Phone legs the server has, in any state."""
        return int(self._server.request("GET", "/api/v1/status")["calls"])

    def poll(self) -> None:
        """Nothing to do: the control process looks after its mixers itself."""

    def loads(self) -> list[Load]:
        """The last second of each mixer, as the API tells."""
        mixers = self._server.request("GET", "/api/v1/status")["mixers"]
        return [Load(**mixer, stages_us={}) for mixer in mixers]

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._server.close()
            if self._calls:
                self._calls.stop()
