"""The batched writer: upserts and events queue up and go to the database many in one transaction.

What costs is the transaction, not the row (docs/decisions/011-batched-writes.md). A record saved twice within a batch is
written once, in its newest state. Events get their sequence number when they are queued and are published when they are
committed, so nobody has seen an event that a crash takes back.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, TypeVar

import structlog
from sqlalchemy import Insert, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from control.store import tables
from control.store.database import Database, StoreError
from control.store.records import EventRecord

BATCH_SECONDS = 0.05
BATCH_ITEMS = 500
MAX_QUEUED = 100_000
RETRY_SECONDS = (0.1, 0.5, 2.0)
CLOSE_ATTEMPTS = 3

log = structlog.get_logger(__name__)

ORDER = (tables.conferences, tables.participants, tables.legs)
"""Foreign keys point backwards in this order."""

Rows = dict[str, dict[str, Any]]
Key = TypeVar("Key")


class Batch:
    """What one transaction takes: rows by table and id, and events."""

    def __init__(self) -> None:
        self.rows: dict[str, Rows] = {table.name: {} for table in ORDER}
        self.events: list[EventRecord] = []

    def __len__(self) -> int:
        return sum(len(rows) for rows in self.rows.values()) + len(self.events)

    def take(self, limit: int) -> Batch:
        """The oldest ``limit`` items, rows before events, removed from this batch."""
        taken = Batch()
        for table in ORDER:
            source, room = self.rows[table.name], limit - len(taken)
            if len(source) <= room:
                taken.rows[table.name], self.rows[table.name] = source, {}
            else:
                taken.rows[table.name] = {key: source.pop(key) for key in list(source)[:room]}
        room = limit - len(taken)
        taken.events, self.events = self.events[:room], self.events[room:]
        return taken


class Writer:
    """Owns all writes to conferences, participants, legs and events. One per process."""

    def __init__(self, database: Database, published: Callable[[list[EventRecord]], None]) -> None:
        self._database = database
        self._published = published
        self._pending = Batch()
        self._wake = asyncio.Event()
        self._hurry = asyncio.Event()
        self._waiting: list[asyncio.Future[None]] = []
        self._closing = False
        self._task: asyncio.Task[None] | None = None
        self.failure: str | None = None
        """Why the last transaction failed; None while all is well."""
        self.dropped = 0
        """Items lost since the start: the queue was full, or the database refused them for good."""

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="store writer")

    async def close(self) -> None:
        """Write what is queued and stop."""
        self._closing = True
        self._wake.set()
        self._hurry.set()
        if self._task is not None:
            await self._task

    def put_row(self, table: Table, row: dict[str, Any]) -> None:
        rows = self._pending.rows[table.name]
        if row["id"] in rows or self._room():
            rows[row["id"]] = row
            self._wake.set()

    def put_event(self, record: EventRecord) -> None:
        if self._room():
            self._pending.events.append(record)
            self._wake.set()

    async def flush(self) -> None:
        """Return once all that was queued before is committed. Raises StoreError when that fails."""
        if not len(self._pending) and not self._waiting:
            return
        done = asyncio.get_running_loop().create_future()
        self._waiting.append(done)
        self._wake.set()
        self._hurry.set()
        await done

    def _room(self) -> bool:
        size = len(self._pending)
        if size >= BATCH_ITEMS:
            self._hurry.set()
        if size < MAX_QUEUED:
            return True
        self.dropped += 1
        if self.dropped == 1 or self.dropped % 1000 == 0:
            log.error("store queue full", queued=size, dropped=self.dropped)
        return False

    async def _run(self) -> None:
        while not (self._closing and not len(self._pending)):
            await self._wake.wait()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), BATCH_SECONDS)
            self._wake.clear()
            self._hurry.clear()
            waiting, self._waiting = self._waiting, []
            # a flush covers what was queued before it, however many batches that is
            for _ in range(len(self._pending) // BATCH_ITEMS + 1):
                await self._write(self._pending.take(BATCH_ITEMS), waiting)
            for done in waiting:
                if not done.done():
                    done.set_result(None)
            if len(self._pending):
                self._wake.set()

    async def _write(self, batch: Batch, waiting: list[asyncio.Future[None]]) -> None:
        attempt = 0
        while len(batch):
            try:
                async with self._database.writing() as connection:
                    await _insert(connection, self._database.dialect, batch)
            except DBAPIError as error:
                if isinstance(error, IntegrityError):
                    await self._write_singly(batch)
                    break
                self._failed(error, waiting)
                attempt += 1
                if self._closing and attempt >= CLOSE_ATTEMPTS:
                    self.dropped += len(batch)
                    return
                await asyncio.sleep(RETRY_SECONDS[min(attempt, len(RETRY_SECONDS)) - 1])
            else:
                break
        self.failure = None
        if batch.events:
            self._published(batch.events)

    def _failed(self, error: SQLAlchemyError, waiting: list[asyncio.Future[None]]) -> None:
        self.failure = " ".join(str(error.orig if isinstance(error, DBAPIError) else error).split())
        log.error("store write failed", error=self.failure, queued=len(self._pending))
        for done in (*waiting, *self._waiting):
            if not done.done():
                done.set_exception(StoreError(f"the database does not take writes: {self.failure}"))
        self._waiting.clear()

    async def _write_singly(self, batch: Batch) -> None:
        """One refused item must not take the others with it."""
        for table in ORDER:
            for key, row in batch.rows[table.name].items():
                single = Batch()
                single.rows[table.name][key] = row
                await self._try_single(single, table.name, key)
        for record in batch.events:
            single = Batch()
            single.events.append(record)
            await self._try_single(single, "events", str(record.seq))

    async def _try_single(self, single: Batch, table: str, key: str) -> None:
        try:
            async with self._database.writing() as connection:
                await _insert(connection, self._database.dialect, single)
        except DBAPIError as error:
            self.dropped += 1
            log.error("store refused an item", table=table, id=key, error=" ".join(str(error.orig).split()))


async def _insert(connection: AsyncConnection, dialect: str, batch: Batch) -> None:
    for table in ORDER:
        if rows := batch.rows[table.name]:
            await connection.execute(_upsert(table, dialect), list(rows.values()))
    if batch.events:
        await connection.execute(
            tables.events.insert(),
            [
                {"seq": e.seq, "time": e.time, "kind": e.kind, "conference": e.conference, "data": e.data}
                for e in batch.events
            ],
        )


_upserts: dict[tuple[str, str], Insert] = {}


def _upsert(table: Table, dialect: str) -> Insert:
    """INSERT ... ON CONFLICT (id) DO UPDATE, which SQLite and PostgreSQL both have."""
    if (table.name, dialect) not in _upserts:
        insert = postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
        changes = {column.name: insert.excluded[column.name] for column in table.columns if not column.primary_key}
        _upserts[table.name, dialect] = insert.on_conflict_do_update(index_elements=["id"], set_=changes)
    return _upserts[table.name, dialect]
