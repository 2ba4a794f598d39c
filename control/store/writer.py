"""The batched writer: upserts and events queue up and go to the database many in one transaction.

What costs is the transaction, not the row (docs/decisions/011-batched-writes.md). A record saved twice in one batch is
written once, in its newest state. Events get their sequence number when they are queued and are published when they are
committed, so nobody has seen an event that a crash takes back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import structlog
from sqlalchemy import Connection, Insert, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import OperationalError

from control.store import tables
from control.store.database import Database, StoreError, cause
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


class Batch:
    """What one transaction takes: rows by table and id, and events. ``size`` counts both."""

    def __init__(self) -> None:
        self.rows: dict[str, Rows] = {table.name: {} for table in ORDER}
        self.events: list[EventRecord] = []
        self.size = 0

    @property
    def name(self) -> str:
        """What a batch of one holds, for the log."""
        ids = [f"{table} {key}" for table, rows in self.rows.items() for key in rows]
        return ", ".join(ids + [f"event {event.seq} {event.kind}" for event in self.events])

    def take(self, limit: int) -> Batch:
        """The first ``limit`` items, rows before events, moved out of this batch."""
        taken = Batch()
        for name, source in self.rows.items():
            room = limit - taken.size
            if len(source) <= room:
                taken.rows[name], self.rows[name] = source, {}
            else:
                taken.rows[name] = {key: source.pop(key) for key in list(source)[:room]}
            taken.size += len(taken.rows[name])
        room = limit - taken.size
        taken.events, self.events = self.events[:room], self.events[room:]
        taken.size += len(taken.events)
        self.size -= taken.size
        return taken


class Writer:
    """Owns all writes to conferences, participants, legs and events. One per process."""

    def __init__(self, database: Database, published: Callable[[list[EventRecord]], None]) -> None:
        self._database = database
        self._published = published
        self._pending = Batch()
        self._due = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: list[asyncio.Future[None]] = []
        self._writing = False
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
        self._due.set()
        if self._task is not None:
            await self._task

    def put_row(self, table: Table, row: dict[str, Any]) -> None:
        rows = self._pending.rows[table.name]
        if row["id"] in rows:
            rows[row["id"]] = row
        elif self._room():
            rows[row["id"]] = row
            self._queued()

    def put_event(self, record: EventRecord) -> None:
        if self._room():
            self._pending.events.append(record)
            self._queued()

    async def flush(self) -> None:
        """Return once all that was queued before is committed. Raises StoreError when that fails."""
        if not self._pending.size and not self._writing:
            return
        done = asyncio.get_running_loop().create_future()
        self._waiting.append(done)
        self._due.set()
        await done

    def _room(self) -> bool:
        if self._pending.size < MAX_QUEUED:
            return True
        self.dropped += 1
        if self.dropped == 1 or self.dropped % 1000 == 0:
            log.error("store queue full", queued=self._pending.size, dropped=self.dropped)
        return False

    def _queued(self) -> None:
        self._pending.size += 1
        if self._pending.size == 1:
            self._timer = asyncio.get_running_loop().call_later(BATCH_SECONDS, self._due.set)
        elif self._pending.size == BATCH_ITEMS:
            self._due.set()

    async def _run(self) -> None:
        while not self._closing or self._pending.size:
            await self._due.wait()
            self._due.clear()
            if self._timer is not None:
                self._timer.cancel()
            whole, self._pending = self._pending, Batch()
            waiting, self._waiting = self._waiting, []
            self._writing = True
            while whole.size:
                await self._commit(whole.take(BATCH_ITEMS), waiting)
            self._writing = False
            for done in waiting:
                if not done.done():
                    done.set_result(None)

    async def _commit(self, batch: Batch, waiting: list[asyncio.Future[None]]) -> None:
        """Write until it is done: a database out of order is tried again, an item it refuses is left out."""
        attempt = 0
        while True:
            try:
                await self._database.write_in_thread(partial(_insert, batch=batch))
            except OperationalError as error:
                attempt += 1
                self._failed(error, waiting)
                if self._closing and attempt >= CLOSE_ATTEMPTS:
                    self.dropped += batch.size
                    return
                await asyncio.sleep(RETRY_SECONDS[min(attempt, len(RETRY_SECONDS)) - 1])
            except Exception as error:  # a constraint, or a value that is not JSON: the item's fault
                if batch.size == 1:
                    self.dropped += 1
                    log.error("store refused an item", item=batch.name, error=cause(error))
                    return
                while batch.size:
                    await self._commit(batch.take(1), waiting)
                return
            else:
                self.failure = None
                if batch.events:
                    self._published(batch.events)
                return

    def _failed(self, error: OperationalError, waiting: list[asyncio.Future[None]]) -> None:
        self.failure = cause(error)
        log.error("store write failed", error=self.failure, queued=self._pending.size)
        for done in (*waiting, *self._waiting):
            if not done.done():
                done.set_exception(StoreError(f"the database does not take writes: {self.failure}"))
        self._waiting.clear()


def _insert(connection: Connection, batch: Batch) -> None:
    for table in ORDER:
        if rows := batch.rows[table.name]:
            connection.execute(_upsert(table, connection.dialect.name), list(rows.values()))
    if batch.events:
        connection.execute(
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
