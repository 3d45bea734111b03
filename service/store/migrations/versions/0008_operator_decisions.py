"""That an operator accepted an outcome which falls short; who retired a line, and why.

On the way back, runs that retired a line are called rebuilds: earlier releases know no other word for them.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("targets") as batch_op:
        batch_op.add_column(sa.Column("acceptance", sa.JSON(), nullable=True))
    with op.batch_alter_table("lines") as batch_op:
        batch_op.add_column(sa.Column("retired_by", sa.String(length=48), nullable=True))
        batch_op.add_column(sa.Column("retired_reason", sa.String(length=500), nullable=True))


def downgrade() -> None:
    op.execute("UPDATE runs SET kind = 'rebuild' WHERE kind = 'retire'")
    with op.batch_alter_table("lines") as batch_op:
        batch_op.drop_column("retired_reason")
        batch_op.drop_column("retired_by")
    with op.batch_alter_table("targets") as batch_op:
        batch_op.drop_column("acceptance")
