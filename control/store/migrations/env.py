"""Alembic's entry: runs the migrations on the connection control.store.database hands over."""

from __future__ import annotations

from alembic import context
from sqlalchemy import text

from control.store.tables import metadata

ADVISORY_LOCK = 0x76656368
"""Servers on several machines that share a PostgreSQL take turns by this lock; SQLite's users share a file lock."""

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=connection.dialect.name == "sqlite")
with context.begin_transaction():
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})"))
    context.run_migrations()
