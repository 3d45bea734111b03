"""Sessions of the desk. A downgrade signs everybody out."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "desk_sessions",
        sa.Column("id", sa.String(length=80), nullable=False),
        sa.Column("actor_id", sa.String(length=200), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("token_hash", sa.String(length=80), nullable=True),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("lines", sa.JSON(), nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("seen_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["token_hash"], ["api_tokens.token_hash"], name=op.f("fk_desk_sessions_token_hash")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_desk_sessions")),
    )
    op.create_index(op.f("ix_desk_sessions_seen_at"), "desk_sessions", ["seen_at"])


def downgrade() -> None:
    op.drop_table("desk_sessions")
