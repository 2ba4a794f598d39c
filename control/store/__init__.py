"""The store: what survives a restart.

``Store.save`` and ``Store.append`` only queue (a writer commits many at once, see control.store.writer), so they can be
called anywhere on the loop. Queries flush the queue first: they always see what was saved before them. Accounts, tokens
and idempotency keys, which the command line and requests change, are written at once through the repositories
``accounts``, ``tokens`` and ``idempotency``.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import structlog
from sqlalchemy import ColumnElement, Select, func, or_, select

from control.config import DataConfig
from control.secrets import KeyFileError, Sealer, SealError, load_sealer
from control.store import tables
from control.store.database import Database, StoreError, hold_exclusively
from control.store.directory import AccountTable, TokenTable
from control.store.idempotency import IdempotencyTable
from control.store.records import (
    ConferenceRecord,
    EventRecord,
    LegRecord,
    Page,
    ParticipantRecord,
)
from control.store.rows import TABLES, from_row, to_row
from control.store.writer import Writer

__all__ = ["CursorError", "Store", "StoreError"]

Record = TypeVar("Record")
Saved = ConferenceRecord | ParticipantRecord | LegRecord
_KEY_CHECK = "key_check"

log = structlog.get_logger(__name__)


class CursorError(ValueError):
    """A list's cursor that was not made by this server."""


class Store:
    """Everything Veche remembers. Make one with ``Store.open``; close it to write what is queued."""

    def __init__(self, database: Database, sealer: Sealer, lock: int | None) -> None:
        self._database = database
        self._lock = lock
        self._subscribers: dict[object, Callable[[list[EventRecord]], None]] = {}
        self._writer = Writer(database, self._publish)
        self._next_seq = 1
        self.committed_seq = 0
        """The newest event that is committed and published."""
        self.sealer = sealer
        self.accounts = AccountTable(database, sealer)
        self.tokens = TokenTable(database, sealer)
        self.idempotency = IdempotencyTable(database, sealer)

    @classmethod
    async def open(cls, data: DataConfig, *, exclusive: bool = False) -> Store:
        """Open, migrate and check the database. Raises StoreError with one clear line.

        ``exclusive``: the caller is the server and the data folder is its alone. Only the server may save and append;
        the command line opens without, also while the server runs.
        """
        lock = None
        database = Database(data)
        try:
            data.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = hold_exclusively(data.folder) if exclusive else None
            await database.migrate()
            store = cls(database, load_sealer(data), lock)
            await store._check_key()
            await store._find_sequence()
        except BaseException as error:
            await database.close()
            if lock is not None:
                os.close(lock)
            if isinstance(error, KeyFileError):
                raise StoreError(str(error)) from error
            if isinstance(error, OSError):
                raise StoreError(f"data.dir {data.folder}: {error.strerror}") from error
            raise
        store._writer.start()
        return store

    async def close(self) -> None:
        await self._writer.close()
        await self._database.close()
        if self._lock is not None:
            os.close(self._lock)

    @property
    def failure(self) -> str | None:
        """Why writing fails at present; None while all is well."""
        return self._writer.failure

    @property
    def dropped(self) -> int:
        """Items lost since the start."""
        return self._writer.dropped

    # --- queued writes -----------------------------------------------------------------------------------------------

    def save(self, record: Saved) -> None:
        """Queue the record's present state. Conferences before their participants before their legs."""
        self._writer.put_row(TABLES[type(record)], to_row(record, self.sealer))

    def append(self, kind: str, *, conference: str | None, data: dict[str, Any], time: datetime | None = None) -> int:
        """Queue an event; ``data`` must be JSON and is not to be changed afterwards. Returns its sequence number."""
        seq = self._next_seq
        self._next_seq += 1
        self._writer.put_event(
            EventRecord(seq=seq, time=time or datetime.now(UTC), kind=kind, conference=conference, data=data)
        )
        return seq

    async def flush(self) -> None:
        """Return once everything queued before is committed. Raises StoreError when the database fails."""
        await self._writer.flush()

    def subscribe(self, handler: Callable[[list[EventRecord]], None]) -> Callable[[], None]:
        """Give ``handler`` the events of every commit, in order. Returns what ends the subscription."""
        key = object()
        self._subscribers[key] = handler

        def unsubscribe() -> None:
            self._subscribers.pop(key, None)

        return unsubscribe

    def _publish(self, records: list[EventRecord]) -> None:
        self.committed_seq = records[-1].seq
        for handler in tuple(self._subscribers.values()):
            try:
                handler(records)
            except Exception:  # one bad subscriber must not stop the writer
                log.exception("event subscriber failed")

    # --- queries -----------------------------------------------------------------------------------------------------

    async def conference(self, conference_id: str) -> ConferenceRecord | None:
        return await self._one(ConferenceRecord, tables.conferences.c.id == conference_id)

    async def conference_by_request(self, request_key: str) -> ConferenceRecord | None:
        """The conference an earlier request with this key made (mission N12)."""
        return await self._one(ConferenceRecord, tables.conferences.c.request_key == request_key)

    async def conferences(
        self, *, states: Sequence[str] = (), limit: int = 50, cursor: str | None = None
    ) -> Page[ConferenceRecord]:
        """Newest first. Raises CursorError."""
        where = [tables.conferences.c.state.in_(states)] if states else []
        return await self._page(ConferenceRecord, tables.conferences.c.created, where, limit, cursor)

    async def open_conferences(self) -> list[ConferenceRecord]:
        """All that have not ended, oldest first: what a restart takes up again."""
        columns = tables.conferences.c
        return await self._all(
            ConferenceRecord, select(tables.conferences).where(columns.state != "ended").order_by(columns.created)
        )

    async def participants(self, conference_id: str) -> list[ParticipantRecord]:
        """In the order they were added."""
        columns = tables.participants.c
        return await self._all(
            ParticipantRecord,
            select(tables.participants)
            .where(columns.conference == conference_id)
            .order_by(columns.created, columns.id),
        )

    async def participant_by_request(self, request_key: str) -> ParticipantRecord | None:
        return await self._one(ParticipantRecord, tables.participants.c.request_key == request_key)

    async def legs(
        self, *, conference_id: str | None = None, limit: int = 50, cursor: str | None = None
    ) -> Page[LegRecord]:
        """CDRs, newest first; of one conference or of all calls. Raises CursorError."""
        where = [] if conference_id is None else [tables.legs.c.conference == conference_id]
        return await self._page(LegRecord, tables.legs.c.started, where, limit, cursor)

    async def unfinished_legs(self) -> list[LegRecord]:
        """Legs without an end: after a crash, those that it cut off."""
        return await self._all(LegRecord, select(tables.legs).where(tables.legs.c.ended.is_(None)))

    async def events(
        self, *, after: int = 0, upto: int | None = None, conference_id: str | None = None, limit: int = 500
    ) -> list[EventRecord]:
        """Committed events with ``after < seq <= upto``, in order."""
        columns = tables.events.c
        query = select(tables.events).where(columns.seq > after).order_by(columns.seq).limit(limit)
        if upto is not None:
            query = query.where(columns.seq <= upto)
        if conference_id is not None:
            query = query.where(columns.conference == conference_id)
        return await self._all(EventRecord, query)

    async def count_events(self, *, after: int = 0, conference_id: str | None = None) -> int:
        query = select(func.count()).select_from(tables.events).where(tables.events.c.seq > after)
        if conference_id is not None:
            query = query.where(tables.events.c.conference == conference_id)
        return await self._count(query)

    async def ping(self) -> None:
        """Raises StoreError when the database does not answer."""
        await self._count(select(func.count()).select_from(tables.settings))

    # --- below -------------------------------------------------------------------------------------------------------

    async def _one(self, kind: type[Record], where: ColumnElement[bool]) -> Record | None:
        return next(iter(await self._all(kind, select(TABLES[kind]).where(where))), None)

    async def _all(self, kind: type[Record], query: Select[Any]) -> list[Record]:
        await self.flush()
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return [from_row(kind, row, self.sealer) for row in rows]

    async def _count(self, query: Select[Any]) -> int:
        await self.flush()
        async with self._database.reading() as connection:
            return int((await connection.execute(query)).scalar_one())

    async def _page(
        self,
        kind: type[Record],
        moment: ColumnElement[datetime],
        where: Sequence[ColumnElement[bool]],
        limit: int,
        cursor: str | None,
    ) -> Page[Record]:
        table = TABLES[kind]
        total = await self._count(select(func.count()).select_from(table).where(*where))
        if cursor is not None:
            time, identity = _read_cursor(cursor)
            where = [*where, or_(moment < time, (moment == time) & (table.c.id < identity))]
        query = select(table).where(*where).order_by(moment.desc(), table.c.id.desc()).limit(limit + 1)
        records = await self._all(kind, query)
        more = len(records) > limit
        items = records[:limit]
        last: Any = items[-1] if more else None
        return Page(items, _make_cursor(getattr(last, moment.key or ""), last.id) if more else None, total)

    async def _check_key(self) -> None:
        """Refuse to start with a key that is not the one this database was sealed with."""
        async with self._database.writing() as connection:
            query = select(tables.settings.c.value).where(tables.settings.c.name == _KEY_CHECK)
            found = (await connection.execute(query)).scalar_one_or_none()
            if found is None:
                value = self.sealer.seal(_KEY_CHECK, _KEY_CHECK)
                await connection.execute(tables.settings.insert().values(name=_KEY_CHECK, value=value))
                return
        try:
            self.sealer.open(found, _KEY_CHECK)
        except SealError as error:
            raise StoreError(
                "this database is sealed with another key: give the right secret.key in data.dir, or VECHE_DATA__KEY"
            ) from error

    async def _find_sequence(self) -> None:
        async with self._database.reading() as connection:
            newest = (await connection.execute(select(func.max(tables.events.c.seq)))).scalar_one_or_none()
        self.committed_seq = newest or 0
        self._next_seq = self.committed_seq + 1


def _make_cursor(time: datetime, identity: str) -> str:
    return base64.urlsafe_b64encode(f"{time.isoformat()}|{identity}".encode()).decode("ascii").rstrip("=")


def _read_cursor(cursor: str) -> tuple[datetime, str]:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        time, _, identity = text.partition("|")
        moment = datetime.fromisoformat(time)
        if not identity or moment.tzinfo is None:
            raise ValueError("incomplete")
    except (ValueError, binascii.Error) as error:
        raise CursorError("not a cursor this server gave out") from error
    return moment, identity
