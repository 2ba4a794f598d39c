"""The call detail records of legs, from the first signalling to the mixer's closing figures."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, datetime

import structlog

from control.numbers import caller_number
from control.ports import Media
from control.store.records import LegRecord
from mixer.protocol import LegStats
from sip.events import IncomingCall

STATS_SECONDS = 2.0
"""How long a leg's closing figures are waited for."""

log = structlog.get_logger(__name__)


class CallRecords:
    """Begins, saves and closes records; ``clock`` gives Unix seconds."""

    def __init__(self, save: Callable[[LegRecord], None], media: Media, clock: Callable[[], float]) -> None:
        self.save = save
        self._media = media
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()

    def now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)

    def incoming(self, leg_id: str, event: IncomingCall, number: str) -> LegRecord:
        """``number``: what was called, without any PIN."""
        return LegRecord(
            id=leg_id,
            direction="in",
            from_number=event.account or caller_number(event.from_user),
            to_number=number,
            transport=event.transport,
            started=self.now(),
            call_id=event.call_id,
        )

    def close(self, record: LegRecord, kind: str, reason: str, status: int | None = None) -> None:
        """The leg is gone and never was in a mixer."""
        record.ended = record.ended or self.now()
        record.end_kind = str(kind)
        record.end_reason = reason
        record.status = status
        self.save(record)

    def close_with_figures(self, record: LegRecord, kind: str, reason: str, status: int | None = None) -> None:
        """The leg is gone: take it out of its mixer as soon as that has told its figures."""
        record.ended = self.now()
        task = asyncio.get_running_loop().create_task(self._take_figures(record, kind, reason, status))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def closed(self) -> None:
        """Returns when all that were to be closed are saved."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _take_figures(self, record: LegRecord, kind: str, reason: str, status: int | None) -> None:
        stats: LegStats | None = None
        try:
            async with asyncio.timeout(STATS_SECONDS):
                stats = await self._media.stats(record.id)
        except TimeoutError:
            log.warning("no closing figures from the mixer", leg=record.id)
        finally:
            self._media.release(record.id)
            if stats is not None:
                record.media = {f.name: getattr(stats, f.name) for f in fields(stats) if f.name != "leg"}
            self.close(record, kind, reason, status)
