"""Keys of what is derived from training data, and when it was told that data outlived their deadline.

What earlier releases derived stays as it is until its anchor goes. A downgrade forgets the keys of what was sealed
since: afterwards such lines need a rebuild before influence updates work again.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "trees",
        sa.Column("prefix", sa.String(length=200), nullable=False),
        sa.Column("line_id", sa.String(length=48), nullable=False),
        sa.Column("wrapped_key", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("shredded_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["line_id"], ["lines.id"], name=op.f("fk_trees_line_id")),
        sa.PrimaryKeyConstraint("prefix", name=op.f("pk_trees")),
    )
    op.create_index(op.f("ix_trees_line_id"), "trees", ["line_id"])
    with op.batch_alter_table("targets") as batch_op:
        batch_op.add_column(sa.Column("overdue_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("targets") as batch_op:
        batch_op.drop_column("overdue_at")
    op.drop_index(op.f("ix_trees_line_id"), "trees")
    op.drop_table("trees")
