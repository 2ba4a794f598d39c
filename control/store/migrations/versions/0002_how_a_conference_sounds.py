"""How a conference sounds, and whether a participant is levelled in it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_ADDED = {
    "conferences": (
        ("levelling", sa.Boolean(), sa.true()),
        ("talkers", sa.Integer(), "0"),
        ("silence_music", sa.Boolean(), sa.false()),
    ),
    "participants": (("levelling", sa.Boolean(), sa.true()),),
}


def upgrade() -> None:
    for table, columns in _ADDED.items():
        for name, kind, default in columns:
            op.add_column(table, sa.Column(name, kind, nullable=False, server_default=default))


def downgrade() -> None:
    for table, columns in _ADDED.items():
        for name, _, _ in columns:
            op.drop_column(table, name)
