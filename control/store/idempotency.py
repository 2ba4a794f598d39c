"""Idempotency keys: claim one before the work, keep the answer after it (mission N12)."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError

from control.secrets import Sealer
from control.store.database import Database
from control.store.records import IdempotencyRecord
from control.store.rows import from_row, to_row
from control.store.tables import idempotency_keys as keys


class IdempotencyTable:
    """Keys by token and key; the database's primary key decides who was first."""

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database = database
        self._sealer = sealer

    async def claim(self, record: IdempotencyRecord) -> IdempotencyRecord | None:
        """Enter a new key. None: it is the caller's; else what an earlier request left under it."""
        try:
            async with self._database.writing() as connection:
                await connection.execute(keys.insert(), to_row(record, self._sealer))
        except IntegrityError:
            return await self.get(record.token, record.key)
        return None

    async def get(self, token: str, key: str) -> IdempotencyRecord | None:
        async with self._database.reading() as connection:
            query = select(keys).where(keys.c.token == token, keys.c.key == key)
            row = (await connection.execute(query)).mappings().one_or_none()
        return None if row is None else from_row(IdempotencyRecord, row, self._sealer)

    async def finish(self, record: IdempotencyRecord) -> None:
        """Keep the answer."""
        async with self._database.writing() as connection:
            query = update(keys).where(keys.c.token == record.token, keys.c.key == record.key)
            await connection.execute(query.values(to_row(record, self._sealer)))

    async def forget(self, token: str, key: str) -> None:
        """Give the key back: the request changed nothing and may be tried again."""
        async with self._database.writing() as connection:
            await connection.execute(delete(keys).where(keys.c.token == token, keys.c.key == key))

    async def purge(self, before: datetime) -> int:
        """Forget keys claimed before ``before``. Returns how many."""
        async with self._database.writing() as connection:
            return (await connection.execute(delete(keys).where(keys.c.created < before))).rowcount
