"""The tables, as SQLAlchemy Core; column names are the field names of control.store.records.

Changing one needs a migration in migrations/versions; tests compare the two. Columns that hold sealed values are named
in ``SEALED``.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    text,
)
from sqlalchemy.types import TypeDecorator, TypeEngine

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class UtcDateTime(TypeDecorator[datetime]):
    """Aware datetimes: timestamptz on PostgreSQL, RFC 3339 text in UTC on SQLite, which sorts as the times do.

    SQLAlchemy's own text form for SQLite is put together in Python and costs ten times as much as isoformat().
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(String(32) if dialect.name == "sqlite" else DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        if value.tzinfo is not UTC:
            if value.tzinfo is None:
                raise ValueError("a time without a zone")
            value = value.astimezone(UTC)
        return value.isoformat(timespec="microseconds") if dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return (datetime.fromisoformat(value) if isinstance(value, str) else value).astimezone(UTC)


_Sequence = BigInteger().with_variant(Integer, "sqlite")

settings = Table(
    "settings",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)

conferences = Table(
    "conferences",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("number", String(32), nullable=False),
    Column("topic", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("created", UtcDateTime, nullable=False),
    Column("starts", UtcDateTime, nullable=False),
    Column("ends", UtcDateTime, nullable=False),
    Column("started", UtcDateTime),
    Column("ended", UtcDateTime),
    Column("end_reason", Text, nullable=False),
    Column("duration_minutes", Integer, nullable=False),
    Column("seats", Integer, nullable=False),
    Column("locked", Boolean, nullable=False),
    Column("levelling", Boolean, nullable=False),
    Column("talkers", Integer, nullable=False),
    Column("silence_music", Boolean, nullable=False),
    Column("chair_pin", Text, nullable=False),
    Column("guest_pin", Text),
    Column("owner", String(64), nullable=False),
    Column("request_key", String(255), unique=True),
    Index("ix_conferences_created_id", "created", "id"),
    Index(
        "uq_conferences_live_number",
        "number",
        unique=True,
        sqlite_where=text("state <> 'ended'"),
        postgresql_where=text("state <> 'ended'"),
    ),
)

participants = Table(
    "participants",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("conference", ForeignKey("conferences.id"), nullable=False, index=True),
    Column("number", String(255), nullable=False),
    Column("name", Text, nullable=False),
    Column("email", Text, nullable=False),
    Column("role", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    Column("failure", String(32), nullable=False),
    Column("muted", Boolean, nullable=False),
    Column("deaf", Boolean, nullable=False),
    Column("talk_gain_db", Float, nullable=False),
    Column("listen_gain_db", Float, nullable=False),
    Column("levelling", Boolean, nullable=False),
    Column("created", UtcDateTime, nullable=False),
    Column("joined", UtcDateTime),
    Column("request_key", String(255), unique=True),
)

legs = Table(
    "legs",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("conference", ForeignKey("conferences.id"), index=True),
    Column("participant", ForeignKey("participants.id")),
    Column("direction", String(8), nullable=False),
    Column("from_number", String(255), nullable=False),
    Column("to_number", String(255), nullable=False),
    Column("name", Text, nullable=False),
    Column("role", String(16), nullable=False),
    Column("codec", String(16), nullable=False),
    Column("transport", String(8), nullable=False),
    Column("started", UtcDateTime, nullable=False, index=True),
    Column("ringing", UtcDateTime),
    Column("answered", UtcDateTime),
    Column("ended", UtcDateTime),
    Column("end_kind", String(32), nullable=False),
    Column("end_reason", Text, nullable=False),
    Column("status", Integer),
    Column("call_id", Text, nullable=False),
    Column("media", JSON, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("seq", _Sequence, primary_key=True, autoincrement=False),
    Column("time", UtcDateTime, nullable=False),
    Column("kind", String(64), nullable=False),
    Column("conference", String(64)),
    Column("data", JSON, nullable=False),
    Index("ix_events_conference_seq", "conference", "seq"),
)

accounts = Table(
    "accounts",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("name", String(254), nullable=False, unique=True),
    Column("kind", String(16), nullable=False),
    Column("display_name", Text, nullable=False),
    Column("role", String(16), nullable=False),
    Column("password_hash", Text, nullable=False),
    Column("realm", String(255), nullable=False),
    Column("ha1_md5", Text, nullable=False),
    Column("ha1_sha256", Text, nullable=False),
    Column("blocked", Boolean, nullable=False),
    Column("created", UtcDateTime, nullable=False),
    Column("changed", UtcDateTime, nullable=False),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("name", String(80), nullable=False),
    Column("hash", String(64), nullable=False, unique=True),
    Column("scopes", JSON, nullable=False),
    Column("created", UtcDateTime, nullable=False),
    Column("last_used", UtcDateTime),
    Column("expires", UtcDateTime),
    Column("revoked", UtcDateTime),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("token", String(64), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("created", UtcDateTime, nullable=False, index=True),
    Column("status", Integer),
    Column("body", Text, nullable=False),
)

SEALED: dict[str, tuple[str, ...]] = {
    "conferences": ("chair_pin", "guest_pin"),
    "accounts": ("ha1_md5", "ha1_sha256"),
    "idempotency_keys": ("body",),
}
