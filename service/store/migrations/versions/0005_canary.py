"""A version that serves a part of an alias's traffic, on trial."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("aliases") as batch_op:
        batch_op.add_column(sa.Column("canary_id", sa.String(length=48), nullable=True))
        batch_op.add_column(sa.Column("canary_since", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column("canary_rules", sa.JSON(), nullable=True))
        batch_op.add_column(sa.Column("canary_measured", sa.JSON(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("aliases") as batch_op:
        for name in ("canary_measured", "canary_rules", "canary_since", "canary_id"):
            batch_op.drop_column(name)
