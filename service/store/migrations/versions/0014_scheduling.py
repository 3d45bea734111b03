"""When runs may begin, urgent requests, and why a ledger is compacted."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
WAIT = sa.Enum("window", "quiet_hours", name="wait", native_enum=False, length=32)
REASON = sa.Enum("age", "count", "drift", "shredding", name="compactionreason", native_enum=False, length=32)


def upgrade() -> None:
    with op.batch_alter_table("runs") as batch_op:
        batch_op.add_column(sa.Column("not_before", MOMENT, nullable=True))
        batch_op.add_column(sa.Column("waits_for", WAIT, nullable=True))
        batch_op.add_column(sa.Column("urgent", sa.Boolean(), nullable=False, server_default=sa.false()))
        batch_op.add_column(sa.Column("because", REASON, nullable=True))
    with op.batch_alter_table("outbox") as batch_op:
        batch_op.add_column(sa.Column("not_before", MOMENT, nullable=True))
    with op.batch_alter_table("requests") as batch_op:
        batch_op.add_column(sa.Column("urgent", sa.Boolean(), nullable=False, server_default=sa.false()))
    with op.batch_alter_table("lines") as batch_op:
        batch_op.add_column(sa.Column("rebuild_because", REASON, nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("lines") as batch_op:
        batch_op.drop_column("rebuild_because")
    with op.batch_alter_table("requests") as batch_op:
        batch_op.drop_column("urgent")
    with op.batch_alter_table("outbox") as batch_op:
        batch_op.drop_column("not_before")
    with op.batch_alter_table("runs") as batch_op:
        for column in ("because", "urgent", "waits_for", "not_before"):
            batch_op.drop_column(column)
