"""Inference servers that Lethe drives, their replicas, and receipts of their swaps."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_OUTCOMES = ("proven", "base", "previous", "indistinct", "unrecognised")
_STEPS = ("load", "probe", "flip", "drain", "overwrite", "unload")


def _moment(name: str, *, nullable: bool = False) -> "sa.Column[object]":
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _id(name: str, *, nullable: bool = False) -> "sa.Column[object]":
    return sa.Column(name, sa.String(length=48), nullable=nullable)


def _enum(name: str, *values: str) -> sa.Enum:
    return sa.Enum(*values, name=name, native_enum=False, length=32)


def upgrade() -> None:
    op.create_table(
        "serving_targets",
        _id("id"),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("kind", _enum("serverkind", "vllm", "sglang"), nullable=False),
        sa.Column("urls", sa.JSON(), nullable=False),
        sa.Column("lines", sa.JSON(), nullable=False),
        sa.Column("alias", sa.String(length=63), nullable=False),
        sa.Column("mount", sa.String(length=1000), nullable=False),
        sa.Column("precision", _enum("precision", "float32", "float16", "bfloat16"), nullable=False),
        sa.Column("max_lora_rank", sa.Integer(), nullable=True),
        sa.Column("target_modules", sa.JSON(), nullable=True),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=True),
        sa.Column("wrapped_key", sa.LargeBinary(), nullable=True),
        _moment("created_at"),
        _id("created_by"),
        _moment("leaving_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_serving_targets")),
        sa.UniqueConstraint("name", name=op.f("uq_serving_targets_name")),
    )
    op.create_table(
        "replicas",
        _id("id"),
        _id("target_id"),
        sa.Column("url", sa.String(length=1000), nullable=False),
        _id("line_id"),
        _id("desired_id", nullable=True),
        _moment("desired_at"),
        _id("proven_id", nullable=True),
        _moment("proven_at", nullable=True),
        sa.Column("outcome", _enum("probeoutcome", *_OUTCOMES), nullable=True),
        sa.Column("held", sa.JSON(), nullable=False),
        sa.Column("removed", sa.JSON(), nullable=False),
        sa.Column("step", _enum("swapstep", *_STEPS), nullable=True),
        sa.Column("error", sa.JSON(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        _moment("due_at"),
        _moment("checked_at", nullable=True),
        sa.Column("fence", sa.Integer(), nullable=False),
        _moment("lease_until", nullable=True),
        sa.ForeignKeyConstraint(["target_id"], ["serving_targets.id"], name=op.f("fk_replicas_target_id")),
        sa.ForeignKeyConstraint(["line_id"], ["lines.id"], name=op.f("fk_replicas_line_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_replicas")),
        sa.UniqueConstraint("url", "line_id", name=op.f("uq_replicas_url_line_id")),
    )
    op.create_index(op.f("ix_replicas_target_id"), "replicas", ["target_id"])
    op.create_index(op.f("ix_replicas_line_id"), "replicas", ["line_id"])
    op.create_table(
        "swap_receipts",
        _id("id"),
        _id("replica_id"),
        _id("target_id"),
        _id("line_id"),
        _id("version_id"),
        sa.Column("outcome", _enum("probeoutcome", *_OUTCOMES), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        _moment("created_at"),
        sa.Column("envelope", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["line_id"], ["lines.id"], name=op.f("fk_swap_receipts_line_id")),
        sa.ForeignKeyConstraint(["version_id"], ["versions.id"], name=op.f("fk_swap_receipts_version_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_swap_receipts")),
        sa.UniqueConstraint("replica_id", "version_id", name=op.f("uq_swap_receipts_replica_id_version_id")),
    )
    op.create_index(op.f("ix_swap_receipts_line_id"), "swap_receipts", ["line_id"])


def downgrade() -> None:
    for table in ("swap_receipts", "replicas", "serving_targets"):
        op.drop_table(table)
