"""Data Rights Protocol agents, status callbacks, and the digests that datasets' subjects are found by.

Datasets that are there already keep none for `subject_digests`: their subjects are found by SHA-256 alone. Nothing
could be filled in, for of an identifier only keyed hashes are kept, and no other digest can be computed from those;
uploading a dataset again indexes it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
ENDPOINTS = sa.table("inbound_endpoints", sa.column("id", sa.String), sa.column("provider", sa.String))
SECRETS = sa.table("inbound_secrets", sa.column("endpoint_id", sa.String))


def upgrade() -> None:
    with op.batch_alter_table("datasets") as batch_op:
        batch_op.add_column(sa.Column("subject_digests", sa.JSON(), nullable=True))
    with op.batch_alter_table("inbound_endpoints") as batch_op:
        batch_op.add_column(sa.Column("agent_id", sa.String(length=120), nullable=True))
        batch_op.add_column(sa.Column("business_id", sa.String(length=120), nullable=True))
        batch_op.add_column(sa.Column("callback_hosts", sa.JSON(), nullable=True))
    op.create_index(op.f("ix_inbound_endpoints_agent_id"), "inbound_endpoints", ["agent_id"])
    op.create_table(
        "agent_tokens",
        sa.Column("id", sa.String(length=48), nullable=False),
        sa.Column("endpoint_id", sa.String(length=48), nullable=False),
        sa.Column("token_hash", sa.String(length=80), nullable=False),
        sa.Column("message_hash", sa.String(length=80), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["endpoint_id"], ["inbound_endpoints.id"], name=op.f("fk_agent_tokens_endpoint_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agent_tokens")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_agent_tokens_token_hash")),
        sa.UniqueConstraint("message_hash", name=op.f("uq_agent_tokens_message_hash")),
    )
    op.create_index(op.f("ix_agent_tokens_endpoint_id"), "agent_tokens", ["endpoint_id"])
    _callbacks()


def _callbacks() -> None:
    protocol = sa.Enum("opendsr", "drp", name="callbackprotocol", native_enum=False, length=32)
    state = sa.Enum("pending", "delivered", "failed", "canceled", name="deliverystate", native_enum=False, length=32)
    op.create_table(
        "status_callbacks",
        sa.Column("id", sa.String(length=48), nullable=False),
        sa.Column("request_id", sa.String(length=48), nullable=False),
        sa.Column("protocol", protocol, nullable=False),
        sa.Column("url", sa.String(length=2000), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("state", state, nullable=False),
        sa.Column("told", sa.String(length=64), nullable=True),
        sa.Column("changes", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", MOMENT, nullable=True),
        sa.Column("leased_until", MOMENT, nullable=True),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.JSON(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["request_id"], ["requests.id"], name=op.f("fk_status_callbacks_request_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_status_callbacks")),
    )
    op.create_index(op.f("ix_status_callbacks_request_id"), "status_callbacks", ["request_id"])
    op.create_index("ix_status_callbacks_state_next_attempt_at", "status_callbacks", ["state", "next_attempt_at"])


def downgrade() -> None:
    op.drop_table("status_callbacks")
    op.drop_table("agent_tokens")
    # Endpoints of agents mean nothing to earlier releases, which do not know their provider.
    agents = ENDPOINTS.c.provider == "drp"
    op.execute(sa.delete(SECRETS).where(SECRETS.c.endpoint_id.in_(sa.select(ENDPOINTS.c.id).where(agents))))
    op.execute(sa.delete(ENDPOINTS).where(agents))
    op.drop_index(op.f("ix_inbound_endpoints_agent_id"), "inbound_endpoints")
    with op.batch_alter_table("inbound_endpoints") as batch_op:
        batch_op.drop_column("callback_hosts")
        batch_op.drop_column("business_id")
        batch_op.drop_column("agent_id")
    with op.batch_alter_table("datasets") as batch_op:
        batch_op.drop_column("subject_digests")
