"""Who may: the accounts and the tokens. Few and rarely changed, so every write is a transaction of its own."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError

from control.secrets import Sealer
from control.store.database import Database
from control.store.records import AccountRecord, TokenRecord
from control.store.rows import from_row, to_row
from control.store.tables import accounts, tokens


class DuplicateError(Exception):
    """A record of that name exists already."""


class AccountTable:
    """The accounts by name."""

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database = database
        self._sealer = sealer

    async def add(self, record: AccountRecord) -> None:
        """Raises DuplicateError."""
        try:
            async with self._database.writing() as connection:
                await connection.execute(accounts.insert(), to_row(record, self._sealer))
        except IntegrityError as error:
            raise DuplicateError(record.name) from error

    async def save(self, record: AccountRecord) -> bool:
        """Write a changed account; False when it has been removed meanwhile."""
        async with self._database.writing() as connection:
            query = update(accounts).where(accounts.c.id == record.id).values(to_row(record, self._sealer))
            return (await connection.execute(query)).rowcount > 0

    async def remove(self, account_id: str) -> bool:
        async with self._database.writing() as connection:
            return (await connection.execute(accounts.delete().where(accounts.c.id == account_id))).rowcount > 0

    async def get(self, name: str) -> AccountRecord | None:
        async with self._database.reading() as connection:
            row = (await connection.execute(select(accounts).where(accounts.c.name == name))).mappings().one_or_none()
        return None if row is None else from_row(AccountRecord, row, self._sealer)

    async def all(self) -> list[AccountRecord]:
        """By name."""
        async with self._database.reading() as connection:
            rows = (await connection.execute(select(accounts).order_by(accounts.c.name))).mappings().all()
        return [from_row(AccountRecord, row, self._sealer) for row in rows]

    async def version(self) -> tuple[int, datetime | None]:
        """Changes whenever an account is added, changed or removed, by whichever process."""
        async with self._database.reading() as connection:
            count, changed = (await connection.execute(select(func.count(), func.max(accounts.c.changed)))).one()
        return count, changed


class TokenTable:
    """The tokens by hash and name."""

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database = database
        self._sealer = sealer

    async def add(self, record: TokenRecord) -> None:
        async with self._database.writing() as connection:
            await connection.execute(tokens.insert(), to_row(record, self._sealer))

    async def by_hash(self, hashed: str) -> TokenRecord | None:
        async with self._database.reading() as connection:
            row = (await connection.execute(select(tokens).where(tokens.c.hash == hashed))).mappings().one_or_none()
        return None if row is None else from_row(TokenRecord, row, self._sealer)

    async def all(self) -> list[TokenRecord]:
        """Oldest first."""
        async with self._database.reading() as connection:
            rows = (await connection.execute(select(tokens).order_by(tokens.c.created))).mappings().all()
        return [from_row(TokenRecord, row, self._sealer) for row in rows]

    async def used(self, token_id: str, now: datetime) -> None:
        """Note when the token was last used."""
        async with self._database.writing() as connection:
            await connection.execute(update(tokens).where(tokens.c.id == token_id).values(last_used=now))

    async def revoke(self, token_id: str, now: datetime) -> bool:
        """False when there is no such token or it was revoked before."""
        async with self._database.writing() as connection:
            query = update(tokens).where(tokens.c.id == token_id, tokens.c.revoked.is_(None)).values(revoked=now)
            return (await connection.execute(query)).rowcount > 0
