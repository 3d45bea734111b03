"""When runs may begin, urgent requests, and why a ledger is compacted."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
WAIT = sa.Enum("window", "quiet_hours", name="wait", native_enum=False, length=32)
REASON = sa.Enum("age", "count", "drift", "shredding", name="compactionreason", native_enum=False, length=32)


def _added() -> list[tuple[str, sa.Column[Any]]]:
    return [
        ("runs", sa.Column("not_before", MOMENT, nullable=True)),
        ("runs", sa.Column("waits_for", WAIT, nullable=True)),
        ("runs", sa.Column("urgent", sa.Boolean(), nullable=False, server_default=sa.false())),
        ("runs", sa.Column("because", REASON, nullable=True)),
        ("outbox", sa.Column("not_before", MOMENT, nullable=True)),
        ("requests", sa.Column("urgent", sa.Boolean(), nullable=False, server_default=sa.false())),
        ("lines", sa.Column("rebuild_because", REASON, nullable=True)),
    ]


def upgrade() -> None:
    for table, column in _added():
        op.add_column(table, column)


def downgrade() -> None:
    # In place: SQLite could not make the tables anew, for others refer to their rows.
    for table, column in _added():
        op.drop_column(table, column.name)
