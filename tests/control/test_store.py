"""The store: what is saved is there after a restart, sealed where it must be; batches, failures, two processes."""

from __future__ import annotations

import asyncio
import base64
import sqlite3
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.command import downgrade
from alembic.config import Config as AlembicConfig
from alembic.migration import MigrationContext
from pydantic import SecretStr
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError

from control.config import DataConfig
from control.secrets import SealError, load_sealer
from control.store import CursorError, Store, StoreError, tables, writer
from control.store.database import MIGRATIONS
from control.store.records import ConferenceRecord, EventRecord, LegRecord, ParticipantRecord

NOW = datetime(2026, 11, 22, 12, 30, 0, 123456, tzinfo=UTC)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await Store.open(DataConfig(dir=tmp_path), exclusive=True)
    yield opened
    await opened.close()


def conference(name: str = "c1", **fields: Any) -> ConferenceRecord:
    plain: dict[str, Any] = {
        "number": f"20{name[1:]}",
        "topic": "Совет",
        "state": "running",
        "created": NOW,
        "starts": NOW,
        "ends": NOW + timedelta(hours=1),
        "duration_minutes": 60,
        "seats": 10,
        "chair_pin": "482913",
        "guest_pin": "771204",
    }
    return ConferenceRecord(id=name, **(plain | fields))


def leg(name: str = "l1", **fields: Any) -> LegRecord:
    plain: dict[str, Any] = {"started": NOW, "conference": "c1"}
    return LegRecord(id=name, direction="in", **(plain | fields))


async def test_what_was_saved_is_there_after_a_restart(tmp_path: Path) -> None:
    data = DataConfig(dir=tmp_path)
    store = await Store.open(data)
    first, person = conference(), ParticipantRecord(id="p1", conference="c1", number="375291234567", created=NOW)
    call = leg(participant="p1", answered=NOW, media={"jitter_ms": 1.5}, ended=NOW + timedelta(seconds=3))
    store.save(first)
    store.save(person)
    store.save(call)
    store.append("conference.created", conference="c1", data={"topic": "Совет"}, time=NOW)
    await store.close()

    store = await Store.open(data)
    assert await store.conference("c1") == first
    assert await store.participants("c1") == [person]
    assert (await store.legs()).items == [call]
    [event] = await store.events()
    assert event == EventRecord(seq=1, time=NOW, kind="conference.created", conference="c1", data={"topic": "Совет"})
    await store.close()


async def test_a_query_sees_what_was_saved_before_it(store: Store) -> None:
    record = conference()
    store.save(record)
    record.topic = "changed later"
    found = await store.conference("c1")
    assert found is not None
    assert found.topic == "Совет"
    store.save(record)
    found = await store.conference("c1")
    assert found is not None
    assert found.topic == "changed later"


async def test_times_of_any_zone_are_kept_as_moments(store: Store) -> None:
    minsk = timezone(timedelta(hours=3))
    store.save(conference(created=NOW.astimezone(minsk)))
    found = await store.conference("c1")
    assert found is not None
    assert (found.created, found.created.tzinfo) == (NOW, UTC)


async def test_a_conference_number_is_free_again_after_the_end(store: Store) -> None:
    over = conference("c1", number="2048")
    store.save(over)
    await store.flush()
    over.state = "ended"
    store.save(over)
    store.save(conference("c2", number="2048"))
    await store.flush()
    assert store.dropped == 0
    assert [c.id for c in await store.open_conferences()] == ["c2"]


async def test_pages_keep_their_order_while_new_records_come(store: Store) -> None:
    for n in range(5):
        store.save(conference(f"c{n}", created=NOW + timedelta(seconds=n // 2)))
    first = await store.conferences(limit=2)
    store.save(conference("c9", created=NOW + timedelta(seconds=9)))
    second = await store.conferences(limit=2, cursor=first.next)
    third = await store.conferences(limit=2, cursor=second.next)
    assert [c.id for page in (first, second, third) for c in page.items] == ["c4", "c3", "c2", "c1", "c0"]
    assert (first.total, third.next) == (5, None)
    with pytest.raises(CursorError):
        await store.conferences(cursor="bm9uc2Vuc2U")


async def test_legs_without_an_end_are_found_after_a_crash(store: Store) -> None:
    store.save(conference())
    store.save(leg("l1"))
    store.save(leg("l2", ended=NOW))
    assert [record.id for record in await store.unfinished_legs()] == ["l1"]


# --- secrets -----------------------------------------------------------------------------------------------------


def _database_bytes(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.glob("veche.db*"))


async def test_no_pin_is_in_the_database_in_plain(tmp_path: Path) -> None:
    store = await Store.open(DataConfig(dir=tmp_path))
    store.save(conference())
    await store.close()
    files = _database_bytes(tmp_path)
    assert b"conferences" in files
    assert b"482913" not in files
    assert b"771204" not in files
    assert "482913" not in repr(conference())


async def test_a_sealed_value_does_not_open_in_another_row(tmp_path: Path) -> None:
    store = await Store.open(DataConfig(dir=tmp_path))
    store.save(conference("c1"))
    store.save(conference("c2"))
    await store.flush()
    with sqlite3.connect(tmp_path / "veche.db") as db:
        db.execute("UPDATE conferences SET chair_pin = (SELECT chair_pin FROM conferences WHERE id = 'c1')")
    assert await store.conference("c1") is not None
    with pytest.raises(SealError):
        await store.conference("c2")
    await store.close()


async def test_the_data_folder_is_for_the_server_alone(tmp_path: Path) -> None:
    data = DataConfig(dir=tmp_path / "new")
    await (await Store.open(data)).close()
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    for name in ("secret.key", "veche.db"):
        assert (tmp_path / "new" / name).stat().st_mode & 0o777 == 0o600, name


async def test_a_database_is_not_opened_with_another_key(tmp_path: Path) -> None:
    await (await Store.open(DataConfig(dir=tmp_path))).close()
    other = SecretStr(base64.b64encode(b"k" * 32).decode())
    with pytest.raises(StoreError, match="sealed with another key"):
        await Store.open(DataConfig(dir=tmp_path, key=other))
    (tmp_path / "secret.key").write_text("spoilt")
    with pytest.raises(StoreError, match=r"secret\.key: must be 32 bytes"):
        await Store.open(DataConfig(dir=tmp_path))


async def test_the_key_may_come_from_the_configuration(tmp_path: Path) -> None:
    key = SecretStr(base64.b64encode(b"k" * 32).decode())
    await (await Store.open(DataConfig(dir=tmp_path, key=key))).close()
    assert not (tmp_path / "secret.key").exists()
    await (await Store.open(DataConfig(dir=tmp_path, key=key))).close()


def test_processes_that_start_together_agree_on_one_key(tmp_path: Path) -> None:
    sealers = [load_sealer(DataConfig(dir=tmp_path)) for _ in range(2)]
    assert sealers[1].open(sealers[0].seal("1234", "x"), "x") == "1234"


# --- the schema, two processes ---------------------------------------------------------------------------------------


async def test_the_migrations_make_the_tables_as_they_are_declared(store: Store, tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'veche.db'}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": False})
        assert compare_metadata(context, tables.metadata) == []
    engine.dispose()


async def test_an_older_database_keeps_what_it_holds_and_gets_the_defaults_of_what_is_new(tmp_path: Path) -> None:
    data = DataConfig(dir=tmp_path)
    store = await Store.open(data)
    store.save(conference(talkers=3, levelling=False))
    await store.close()
    engine = create_engine(f"sqlite:///{tmp_path / 'veche.db'}")
    with engine.begin() as connection:
        config = AlembicConfig()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        downgrade(config, "0001")
    engine.dispose()
    store = await Store.open(data)
    kept = await store.conference("c1")
    await store.close()
    assert kept == conference()


async def test_two_that_start_at_once_both_get_a_migrated_database(tmp_path: Path) -> None:
    data = DataConfig(dir=tmp_path)
    one, two = await asyncio.gather(Store.open(data), Store.open(data))
    assert await one.conferences() == await two.conferences()
    await one.close()
    await two.close()


async def test_only_one_server_runs_on_a_data_folder(store: Store, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="in use by another veche"):
        await Store.open(DataConfig(dir=tmp_path), exclusive=True)
    await (await Store.open(DataConfig(dir=tmp_path))).close()


@pytest.mark.parametrize("url", ["postgresql://veche@db/veche", "mysql://db/veche"])
async def test_a_database_without_its_driver_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StoreError, match=r"data\.url"):
        await Store.open(DataConfig.model_construct(dir=tmp_path, url=url, key=SecretStr("")))


async def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"data\.dir"):
        await Store.open(DataConfig(dir=tmp_path / "file" / "data"))


# --- batches -----------------------------------------------------------------------------------------------------


class Transactions:
    """Counts a store's batches, and fails those it is told to."""

    def __init__(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self.failing = 0
        self._real = store._database.write_in_thread
        monkeypatch.setattr(store._database, "write_in_thread", self._write)
        monkeypatch.setattr(writer, "RETRY_SECONDS", (0.0,))

    async def _write(self, work: Any) -> None:
        self.count += 1
        if self.failing:
            self.failing -= 1
            raise OperationalError("INSERT", {}, sqlite3.OperationalError("disk I/O error"))
        await self._real(work)


async def test_many_writes_are_few_transactions(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    transactions = Transactions(store, monkeypatch)
    store.save(conference())
    for n in range(writer.BATCH_ITEMS):
        store.save(leg(f"l{n}"))
        store.append("x", conference="c1", data={})
    await store.flush()
    assert transactions.count == 3
    assert (await store.legs()).total == writer.BATCH_ITEMS


async def test_a_record_saved_twice_in_a_batch_is_written_in_its_newest_state(store: Store) -> None:
    store.save(conference())
    store.save(leg())
    store.save(leg(ended=NOW, end_kind="remote"))
    assert [record.end_kind for record in (await store.legs()).items] == ["remote"]


async def test_batches_are_written_without_being_asked(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    written = asyncio.Event()
    store.subscribe(lambda records: written.set())
    store.append("x", conference=None, data={})
    async with asyncio.timeout(10):
        await written.wait()


async def test_events_are_published_when_they_are_committed_and_in_order(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    transactions = Transactions(store, monkeypatch)
    transactions.failing = 1
    got: list[int] = []
    unsubscribe = store.subscribe(lambda records: got.extend(record.seq for record in records))
    sent = [store.append("x", conference=None, data={}) for _ in range(3)]
    assert store.committed_seq == 0
    with pytest.raises(StoreError, match="disk I/O error"):
        await store.flush()
    assert "disk I/O error" in str(store.failure)
    await store.flush()
    assert (got, store.committed_seq) == (sent, sent[-1])
    assert not store.failure
    unsubscribe()
    store.append("x", conference=None, data={})
    await store.flush()
    assert got == sent


async def test_one_refused_item_does_not_take_the_others_with_it(store: Store) -> None:
    store.save(conference())
    store.save(leg("bad", conference="nowhere"))
    store.save(leg("good"))
    store.append("spoilt", conference=None, data={"not": object()})
    seq = store.append("fine", conference=None, data={})
    await store.flush()
    assert [record.id for record in (await store.legs()).items] == ["good"]
    assert [event.seq for event in await store.events()] == [seq]
    assert store.dropped == 2


async def test_a_subscriber_that_fails_does_not_stop_the_store(store: Store) -> None:
    def fail(records: list[EventRecord]) -> None:
        raise RuntimeError

    got: list[EventRecord] = []
    store.subscribe(fail)
    store.subscribe(got.extend)
    for _ in range(2):
        store.append("x", conference=None, data={})
        await store.flush()
    assert len(got) == 2


async def test_a_full_queue_drops_and_counts_instead_of_growing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "MAX_QUEUED", 10)
    for _ in range(25):
        store.append("x", conference=None, data={})
    await store.flush()
    assert (store.dropped, len(await store.events())) == (15, 10)


async def test_closing_writes_what_is_queued_and_gives_up_on_a_dead_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await Store.open(DataConfig(dir=tmp_path))
    transactions = Transactions(store, monkeypatch)
    store.append("x", conference=None, data={})
    transactions.failing = 1_000
    await store.close()
    assert store.dropped == 1


async def test_a_write_waits_for_another_process_to_finish(store: Store, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "veche.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    store.save(conference())
    flushed = asyncio.create_task(store.flush())
    done, _ = await asyncio.wait({flushed}, timeout=0.1)
    assert not done
    other.execute("COMMIT")
    other.close()
    await flushed
    assert await store.conference("c1") == replace(conference())


async def test_a_transaction_that_will_write_keeps_others_from_writing_before_it(store: Store, tmp_path: Path) -> None:
    async with store._database.writing() as connection:
        await connection.execute(tables.tokens.select())
        other = sqlite3.connect(tmp_path / "veche.db", timeout=0)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("DELETE FROM tokens")
        other.close()


def test_upserts_are_made_for_postgresql_too() -> None:
    from sqlalchemy.dialects import postgresql

    for table in writer.ORDER:
        text = str(writer._upsert(table, "postgresql").compile(dialect=postgresql.dialect()))  # type: ignore[no-untyped-call]
        assert f"INSERT INTO {table.name}" in text
        assert "ON CONFLICT (id) DO UPDATE SET" in text
