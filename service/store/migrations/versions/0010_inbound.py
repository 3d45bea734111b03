"""Inbound endpoints, kinds of data subjects' identifiers, and sketches that find near duplicates.

Datasets that were uploaded before name plain identifiers: digests are not looked up in them, nor near duplicates.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

PROVIDERS = ("standard_webhooks", "transcend", "shopify", "segment", "api_key")


def upgrade() -> None:
    provider = sa.Enum(*PROVIDERS, name="provider", native_enum=False, length=32)
    op.create_table(
        "inbound_endpoints",
        sa.Column("id", sa.String(length=48), nullable=False),
        sa.Column("provider", provider, nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("lines", sa.JSON(), nullable=True),
        sa.Column("subject_kinds", sa.JSON(), nullable=False),
        sa.Column("erasure_types", sa.JSON(), nullable=True),
        sa.Column("regulation", sa.String(length=32), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(length=48), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inbound_endpoints")),
    )
    op.create_table(
        "inbound_secrets",
        sa.Column("id", sa.String(length=48), nullable=False),
        sa.Column("endpoint_id", sa.String(length=48), nullable=False),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=False),
        sa.Column("wrapped_key", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["endpoint_id"], ["inbound_endpoints.id"], name=op.f("fk_inbound_secrets_endpoint_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inbound_secrets")),
    )
    op.create_index(op.f("ix_inbound_secrets_endpoint_id"), "inbound_secrets", ["endpoint_id"])
    op.create_table(
        "inbound_deliveries",
        sa.Column("channel", sa.String(length=48), nullable=False),
        sa.Column("key_hash", sa.String(length=80), nullable=False),
        sa.Column("ask_hash", sa.String(length=80), nullable=False),
        sa.Column("request_id", sa.String(length=48), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("channel", "key_hash", name=op.f("pk_inbound_deliveries")),
    )
    op.create_index(op.f("ix_inbound_deliveries_request_id"), "inbound_deliveries", ["request_id"])
    op.create_table(
        "subject_aliases",
        sa.Column("alias_hash", sa.String(length=80), nullable=False),
        sa.Column("subject_hash", sa.String(length=80), nullable=False),
        sa.PrimaryKeyConstraint("alias_hash", "subject_hash", name=op.f("pk_subject_aliases")),
    )
    op.create_index(op.f("ix_subject_aliases_subject_hash"), "subject_aliases", ["subject_hash"])
    with op.batch_alter_table("datasets") as batch_op:
        batch_op.add_column(sa.Column("subject_kinds", sa.JSON(), nullable=True))
    with op.batch_alter_table("instances") as batch_op:
        batch_op.add_column(sa.Column("sketch", sa.LargeBinary(), nullable=True))
    with op.batch_alter_table("operations") as batch_op:
        batch_op.add_column(sa.Column("lookups", sa.JSON(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("operations") as batch_op:
        batch_op.drop_column("lookups")
    with op.batch_alter_table("instances") as batch_op:
        batch_op.drop_column("sketch")
    with op.batch_alter_table("datasets") as batch_op:
        batch_op.drop_column("subject_kinds")
    op.drop_index(op.f("ix_subject_aliases_subject_hash"), "subject_aliases")
    op.drop_table("subject_aliases")
    op.drop_index(op.f("ix_inbound_deliveries_request_id"), "inbound_deliveries")
    op.drop_table("inbound_deliveries")
    op.drop_index(op.f("ix_inbound_secrets_endpoint_id"), "inbound_secrets")
    op.drop_table("inbound_secrets")
    op.drop_table("inbound_endpoints")
