"""The database itself: the engine with SQLite's settings, the migrations, the locks between processes."""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config as AlembicConfig
from sqlalchemy import Connection, event
from sqlalchemy.exc import DBAPIError, NoSuchModuleError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from control.config import DataConfig

MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_SECONDS = 10.0
_WRITE = "veche_write"


class StoreError(Exception):
    """The store cannot do its work; ``str()`` is one line that says why."""


class Database:
    """One database by its URL. Reads need no transaction; writes take SQLite's write lock at their start.

    Without that a transaction that reads before it writes fails at once with "database is locked" when another process
    (./veche token create) has written in between, whatever the busy timeout is.
    """

    def __init__(self, data: DataConfig) -> None:
        self._data = data
        try:
            self.engine: AsyncEngine = create_async_engine(data.database_url, pool_size=4, max_overflow=4)
        except (ImportError, NoSuchModuleError) as error:
            raise StoreError(f"data.url {data.url.partition(':')[0]}: {error}") from error
        if self.dialect == "sqlite":
            event.listen(self.engine.sync_engine, "connect", _configure_sqlite)
            event.listen(self.engine.sync_engine, "begin", _begin_sqlite)

    @property
    def dialect(self) -> str:
        return self.engine.dialect.name

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection for queries."""
        async with self.engine.connect() as connection:
            yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A transaction, committed at the end of the block, rolled back when it raises."""
        async with self.engine.connect() as connection:
            await connection.execution_options(**{_WRITE: True})
            async with connection.begin():
                yield connection

    async def migrate(self) -> None:
        """Bring the schema to the newest version; processes that start together take turns. Raises StoreError."""
        self._data.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = await asyncio.to_thread(_lock, self._data.folder / "migrate.lock", fcntl.LOCK_EX)
        try:
            async with self.engine.connect() as connection:
                await connection.execution_options(**{_WRITE: True})
                await connection.run_sync(_upgrade)
                await connection.commit()
        except (DBAPIError, OSError, sqlite3.Error) as error:
            raise StoreError(f"database {self.shown_url}: {_cause(error)}") from error
        finally:
            os.close(lock)

    @property
    def shown_url(self) -> str:
        """The URL without its password."""
        return self.engine.url.render_as_string(hide_password=True)

    async def close(self) -> None:
        await self.engine.dispose()


def hold_exclusively(folder: Path) -> int:
    """Take the folder for this server alone until the descriptor is closed. Raises StoreError when another has it."""
    path = folder / "server.lock"
    try:
        descriptor = _lock(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        owner = path.read_text("ascii").strip() or "?"
        raise StoreError(f"data.dir {folder} is in use by another veche (process {owner})") from error
    os.truncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode("ascii"))
    return descriptor


def _lock(path: Path, how: int) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, how)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _upgrade(connection: Connection) -> None:
    config = AlembicConfig()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _configure_sqlite(connection: Any, record: object) -> None:
    # None turns off the driver's own BEGIN, which leaves DDL outside of transactions; _begin_sqlite says it instead
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get(_WRITE) else "BEGIN")


def _cause(error: BaseException) -> str:
    """The driver's own words, on one line."""
    original = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    return " ".join(str(original).split())
