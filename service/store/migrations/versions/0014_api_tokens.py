"""Tokens of API keys apart from the keys, so that one key may have two for a while; when a key was used; whose it is.

The way back keeps the newest token of each key.
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    # SQLite makes the table of keys anew, which it refuses while another one refers to it.
    op.execute("CREATE TEMPORARY TABLE moving AS SELECT token_hash, id, created_at FROM api_keys")
    with op.batch_alter_table("api_keys") as batch_op:
        batch_op.drop_constraint("uq_api_keys_token_hash", type_="unique")
        batch_op.drop_column("token_hash")
        batch_op.add_column(sa.Column("person", sa.String(length=48), nullable=True))
        batch_op.add_column(sa.Column("last_used_at", MOMENT, nullable=True))
    op.create_table(
        "api_tokens",
        sa.Column("token_hash", sa.String(length=80), nullable=False),
        sa.Column("key_id", sa.String(length=48), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(["key_id"], ["api_keys.id"], name=op.f("fk_api_tokens_key_id")),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_api_tokens")),
    )
    op.create_index(op.f("ix_api_tokens_key_id"), "api_tokens", ["key_id"])
    op.execute("INSERT INTO api_tokens (token_hash, key_id, created_at) SELECT token_hash, id, created_at FROM moving")
    op.execute("DROP TABLE moving")


def downgrade() -> None:
    op.execute("CREATE TEMPORARY TABLE moving AS SELECT token_hash, key_id, created_at FROM api_tokens")
    op.drop_table("api_tokens")
    with op.batch_alter_table("api_keys") as batch_op:
        batch_op.drop_column("last_used_at")
        batch_op.drop_column("person")
        batch_op.add_column(sa.Column("token_hash", sa.String(length=80), nullable=True))
    op.execute(
        "UPDATE api_keys SET token_hash = (SELECT token_hash FROM moving WHERE key_id = api_keys.id "
        "ORDER BY created_at DESC LIMIT 1)"
    )
    with op.batch_alter_table("api_keys") as batch_op:
        batch_op.alter_column("token_hash", existing_type=sa.String(length=80), nullable=False)
        batch_op.create_unique_constraint("uq_api_keys_token_hash", ["token_hash"])
    op.execute("DROP TABLE moving")
