"""Out-of-fold predictions of an anchor, and the anchor a run works from.

Before a downgrade switch `out_of_fold` off everywhere and rebuild the lines that had it: afterwards nothing knows
where the predictions lie.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("versions") as batch_op:
        batch_op.add_column(sa.Column("out_of_fold", sa.JSON(), nullable=True))
    with op.batch_alter_table("runs") as batch_op:
        batch_op.add_column(sa.Column("anchor_id", sa.String(length=48), nullable=True))


def downgrade() -> None:
    # The older code knows neither their kind nor their lane.
    op.execute("DELETE FROM runs WHERE kind = 'out_of_fold'")
    with op.batch_alter_table("runs") as batch_op:
        batch_op.drop_column("anchor_id")
    with op.batch_alter_table("versions") as batch_op:
        batch_op.drop_column("out_of_fold")
