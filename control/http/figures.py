"""Network reports of running conferences for live clients: one query to the mixers serves all clients of a conference.

Each conference that somebody watches has a beat of one second. A client gets a report every so many beats, counted from
its coming; who is due at the same beat shares one report, so a conference is never asked for more than once a second.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cached_property

import structlog

from control.errors import CommandError, GoneError
from control.http.privacy import view
from control.schemas import NetworkReport
from control.tokens import Scope

BEAT_SECONDS = 1.0

log = structlog.get_logger(__name__)
MakeReport = Callable[[str], Awaitable[NetworkReport]]


class SharedReport:
    """A report with its JSON made once for all clients that may see the same of it."""

    def __init__(self, report: NetworkReport) -> None:
        self._report = report

    @cached_property
    def full(self) -> str:
        return self._json({Scope.NUMBERS})

    @cached_property
    def masked(self) -> str:
        return self._json(set())

    def _json(self, scopes: set[str]) -> str:
        data = view(self._report, scopes)
        outside = {"kind": "conference.figures", "time": data.pop("time"), "conference": data.pop("conference_id")}
        return json.dumps({**outside, "data": data}, ensure_ascii=False)


Put = Callable[[SharedReport], None]


@dataclass(slots=True)
class _Client:
    every: int
    """Beats."""
    since: int


class Figures:
    """Who watches which conference. ``make`` gives a conference's report or raises CommandError."""

    def __init__(self, make: MakeReport) -> None:
        self._make = make
        self._clients: dict[str, dict[Put, _Client]] = {}
        self._beats: dict[str, int] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def join(self, conference: str, every: int, put: Put) -> None:
        """Give ``put`` a report every so many seconds while the conference runs."""
        clients = self._clients.setdefault(conference, {})
        clients[put] = _Client(every, self._beats.setdefault(conference, 0))
        if conference not in self._tasks:
            name = f"figures of {conference}"
            self._tasks[conference] = asyncio.create_task(self._serve(conference), name=name)

    def leave(self, conference: str, put: Put) -> None:
        """Who has not joined is ignored."""
        clients = self._clients.get(conference, {})
        clients.pop(put, None)
        if not clients and conference in self._tasks:
            self._tasks.pop(conference).cancel()
            del self._clients[conference], self._beats[conference]

    def close(self) -> None:
        for task in self._tasks.values():
            task.cancel()

    async def _serve(self, conference: str) -> None:
        loop = asyncio.get_running_loop()
        next_beat = loop.time()
        while True:
            next_beat = max(next_beat + BEAT_SECONDS, loop.time())
            await asyncio.sleep(next_beat - loop.time())
            self._beats[conference] += 1
            beat = self._beats[conference]
            due = [
                put for put, client in self._clients[conference].items() if (beat - client.since) % client.every == 0
            ]
            if not due:
                continue
            try:
                report = await self._make(conference)
            except GoneError:
                return
            except CommandError as error:
                log.warning("no figures", conference=conference, reason=error.detail)
                continue
            if report.state == "running":
                shared = SharedReport(report)
                for put in due:
                    put(shared)
