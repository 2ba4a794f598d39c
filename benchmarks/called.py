"""A whole server for the benchmarks: sipp calls the phones in, their voices go through SIP, control and the mixer."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from benchmarks.phones import PhoneBank
from benchmarks.server import Server
from benchmarks.sipp import Caller, Calls
from benchmarks.tones import Seating
from mixer.protocol import Load

CALL_RATE = 100
FIRST_NUMBER = 375290000000
PATIENCE = 10
"""Seconds beyond those that the rate of calls makes necessary."""


def call_in(
    folder: Path, server: tuple[str, int], rooms: Sequence[str], seating: Seating, phones: PhoneBank
) -> tuple[Calls, list[tuple[str, int] | None]]:
    """Every phone calls its room by SIP, a hundred a second; the calls, and where each phone is to send its voice."""
    callers = [
        Caller(rooms[room], str(FIRST_NUMBER + leg), phones.address(leg), format=phones.formats[leg])
        for leg, room in enumerate(seating.room_of())
    ]
    calls = Calls(folder, server, callers, seating.legs, CALL_RATE, 3600)
    deadline = time.monotonic() + seating.legs / CALL_RATE + PATIENCE
    while len(calls.answers()) < seating.legs and calls.running and time.monotonic() < deadline:
        phones.run(0.2)
    answers = calls.answers()
    return calls, [answers.get(caller.number) for caller in callers]


class CalledServer:
    """Veche as it runs for an operator. ``mixers``: how many processes mix; 0 for one a core."""

    def __init__(self, folder: Path, lanes: int, seats: int, mixers: int = 0) -> None:
        self._folder = folder
        self._seats = seats
        self._calls: Calls | None = None
        self._server = Server(folder, lanes=lanes, settings={"VECHE_MEDIA__MIXERS": str(mixers)})
        self._closed = False

    @property
    def pids(self) -> list[int]:
        return self._server.pids

    def seat(self, seating: Seating, phones: PhoneBank) -> Sequence[tuple[str, int] | None]:
        rooms = [self._server.create_conference(f"Room {i}", self._seats)["number"] for i in range(seating.rooms)]
        self._calls, places = call_in(self._folder, self._server.sip, rooms, seating, phones)
        return places

    def calls(self) -> int:
        """Phone legs the server has, in any state."""
        return int(self._server.request("GET", "/api/v1/status")["calls"])

    def poll(self) -> None:
        """Nothing to do: the control process looks after its mixers itself."""

    def loads(self) -> list[Load]:
        """The last second of each mixer, as the API tells."""
        mixers = self._server.request("GET", "/api/v1/status")["mixers"]
        known = {field.name for field in fields(Load)}
        return [Load(**{k: v for k, v in mixer.items() if k in known}, stages_us={}) for mixer in mixers]

    def warnings(self) -> str:
        return self._server.complaints().strip()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._server.close()
            if self._calls:
                self._calls.stop()
