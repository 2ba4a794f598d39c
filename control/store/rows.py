"""Records to rows and back; sealed columns are sealed and opened here and nowhere else."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

from sqlalchemy import RowMapping, Table

from control.secrets import Sealer
from control.store import tables
from control.store.records import (
    AccountRecord,
    ConferenceRecord,
    EventRecord,
    IdempotencyRecord,
    LegRecord,
    ParticipantRecord,
    TokenRecord,
)

Record = TypeVar("Record")

TABLES: dict[type[Any], Table] = {
    ConferenceRecord: tables.conferences,
    ParticipantRecord: tables.participants,
    LegRecord: tables.legs,
    EventRecord: tables.events,
    AccountRecord: tables.accounts,
    TokenRecord: tables.tokens,
    IdempotencyRecord: tables.idempotency_keys,
}
_FIELDS = {kind: tuple(field.name for field in dataclasses.fields(kind)) for kind in TABLES}


def to_row(record: Any, sealer: Sealer) -> dict[str, Any]:
    """The record as column values, a snapshot: later changes of the record do not reach it."""
    kind = type(record)
    row = {name: getattr(record, name) for name in _FIELDS[kind]}
    for name in tables.SEALED.get(TABLES[kind].name, ()):
        if row[name] is not None:
            row[name] = sealer.seal(row[name], _purpose(TABLES[kind], row, name))
    return row


def from_row(kind: type[Record], row: RowMapping, sealer: Sealer) -> Record:
    """The record a row stands for. Raises SealError when it was sealed with another key."""
    values = {name: row[name] for name in _FIELDS[kind]}
    table = TABLES[kind]
    for name in tables.SEALED.get(table.name, ()):
        if values[name] is not None:
            values[name] = sealer.open(values[name], _purpose(table, values, name))
    if kind is TokenRecord:
        values["scopes"] = tuple(values["scopes"])
    return kind(**values)


def _purpose(table: Table, row: Mapping[str, Any], column: str) -> str:
    identity = ":".join(str(row[key.name]) for key in table.primary_key)
    return f"{table.name}:{column}:{identity}"
