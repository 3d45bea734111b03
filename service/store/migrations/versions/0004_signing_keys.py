"""Revocation of signing keys, and the digests of datasets.

Datasets that were uploaded before have none. Before a downgrade keep the key set: the older code publishes revoked
keys as if they were not.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    reason = sa.Enum("compromised", "withdrawn", name="revocationreason", native_enum=False, length=32)
    with op.batch_alter_table("signing_keys") as batch_op:
        batch_op.add_column(sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column("revocation_reason", reason, nullable=True))
    with op.batch_alter_table("datasets") as batch_op:
        batch_op.add_column(sa.Column("digest", sa.String(length=80), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("datasets") as batch_op:
        batch_op.drop_column("digest")
    with op.batch_alter_table("signing_keys") as batch_op:
        batch_op.drop_column("revocation_reason")
        batch_op.drop_column("revoked_at")
