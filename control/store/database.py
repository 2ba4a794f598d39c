"""The database itself: the engine with SQLite's settings, the migrations, the locks between processes."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config as AlembicConfig
from sqlalchemy import Connection, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from control.config import DATABASE_FILE, DataConfig

MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_SECONDS = 10.0
DRIVERS = {"sqlite": ("sqlite+aiosqlite", "sqlite"), "postgresql": ("postgresql+psycopg", "postgresql+psycopg")}
"""By database family: the driver of queries on the loop, and that of batches in the thread."""
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
        family = data.database_url.partition(":")[0].partition("+")[0]
        if family not in DRIVERS:
            raise StoreError(f"data.url {family}: must be one of {', '.join(DRIVERS)}")
        for_async, for_threads = DRIVERS[family]
        url = make_url(data.database_url)
        try:
            self._engine = create_async_engine(url.set(drivername=for_async), pool_size=4, max_overflow=4)
            self._thread_engine = create_engine(url.set(drivername=for_threads))
        except ImportError as error:
            raise StoreError(f"data.url {family}: {error} (pip install 'veche[{family}]')") from error
        if family == "sqlite":
            for engine in (self._engine.sync_engine, self._thread_engine):
                event.listen(engine, "connect", _configure_sqlite)
                event.listen(engine, "begin", _begin_sqlite)
        self._thread = ThreadPoolExecutor(1, "store")

    @property
    def dialect(self) -> str:
        return self._engine.dialect.name

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection for queries. Raises StoreError when the database fails."""
        with _as_store_errors():
            async with self._engine.connect() as connection:
                yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A transaction, committed at the end of the block, rolled back when it raises.

        Raises StoreError when the database fails, sqlalchemy's IntegrityError when a constraint refuses the data.
        """
        with _as_store_errors():
            async with self._engine.connect() as connection:
                await connection.execution_options(**{_WRITE: True})
                async with connection.begin():
                    yield connection

    async def write_in_thread(self, work: Callable[[Connection], None]) -> None:
        """One write transaction around ``work``, in the store's thread.

        A batch costs one hop to the thread instead of one per statement, a third of the CPU time
        (docs/decisions/011-batched-writes.md). Raises what SQLAlchemy raises.
        """
        await asyncio.get_running_loop().run_in_executor(self._thread, self._write, work)

    def _write(self, work: Callable[[Connection], None]) -> None:
        with self._thread_engine.connect() as connection:
            connection.execution_options(**{_WRITE: True})
            with connection.begin():
                work(connection)

    async def migrate(self) -> None:
        """Bring the schema to the newest version; processes that start together take turns. Raises StoreError."""
        if not self._data.url:
            # nobody else reads it; SQLite gives its -wal and -shm files the same mode
            (self._data.folder / DATABASE_FILE).touch(mode=0o600)
        lock = await asyncio.to_thread(_lock, self._data.folder / "migrate.lock", fcntl.LOCK_EX)
        try:
            await self.write_in_thread(_upgrade)
        except (DBAPIError, OSError) as error:
            raise StoreError(f"database {self.shown_url}: {cause(error)}") from error
        finally:
            os.close(lock)

    @property
    def shown_url(self) -> str:
        """The URL without its password."""
        return self._engine.url.render_as_string(hide_password=True)

    async def close(self) -> None:
        await self._engine.dispose()
        self._thread_engine.dispose()
        self._thread.shutdown()


@contextmanager
def _as_store_errors() -> Iterator[None]:
    try:
        yield
    except IntegrityError:
        raise
    except (DBAPIError, PoolTimeoutError) as error:
        raise StoreError(f"the database does not answer: {cause(error)}") from error


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
    # a checkpoint costs an fsync: every 16 MB instead of every 4
    cursor.execute("PRAGMA wal_autocheckpoint = 4000")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get(_WRITE) else "BEGIN")


def cause(error: BaseException) -> str:
    """The driver's own words, on one line."""
    original = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    return " ".join(str(original).split())
