"""Initial schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(length=48), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("token_hash", sa.String(length=80), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("lines", sa.JSON(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_api_keys_token_hash")),
    )
    op.create_table(
        "audit",
        sa.Column("seq", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("hash", sa.String(length=80), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_audit")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "datasets",
        sa.Column("id", sa.String(length=48), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(length=48), nullable=False),
        sa.Column("instance_count", sa.Integer(), nullable=False),
        sa.Column("subject_count", sa.Integer(), nullable=False),
        sa.Column("duplicate_count", sa.Integer(), nullable=False),
        sa.Column("subjects_indexed", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_datasets")),
    )
    op.create_table(
        "events",
        sa.Column("seq", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("type", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("adapter", sa.String(length=63), nullable=True),
        sa.Column("request_id", sa.String(length=48), nullable=True),
        sa.Column("run_id", sa.String(length=48), nullable=True),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_events")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("events", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_events_adapter"), ["adapter"], unique=False)
        batch_op.create_index(batch_op.f("ix_events_request_id"), ["request_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_events_run_id"), ["run_id"], unique=False)

    op.create_table(
        "idempotency",
        sa.Column("key_id", sa.String(length=48), nullable=False),
        sa.Column("route", sa.String(length=200), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("body_hash", sa.String(length=80), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("location", sa.String(length=300), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key_id", "route", "key", name=op.f("pk_idempotency")),
    )
    op.create_table(
        "lines",
        sa.Column("id", sa.String(length=48), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("base_path", sa.String(length=1000), nullable=False),
        sa.Column("base_revision", sa.String(length=200), nullable=True),
        sa.Column("base_digest", sa.String(length=80), nullable=True),
        sa.Column("policy", sa.JSON(), nullable=False),
        sa.Column("pool", sa.String(length=63), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(length=48), nullable=False),
        sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("next_number", sa.Integer(), nullable=False),
        sa.Column("ledger_head", sa.Integer(), nullable=False),
        sa.Column("anchor_id", sa.String(length=48), nullable=True),
        sa.Column("head_id", sa.String(length=48), nullable=True),
        sa.Column("rebuild_due_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lines")),
        sa.UniqueConstraint("name", name=op.f("uq_lines_name")),
    )
    with op.batch_alter_table("lines", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_lines_rebuild_due_at"), ["rebuild_due_at"], unique=False)

    op.create_table(
        "outbox",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("run_id", sa.String(length=48), nullable=False),
        sa.Column("pool", sa.String(length=63), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
    )
    with op.batch_alter_table("outbox", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_outbox_sent_at"), ["sent_at"], unique=False)

    op.create_table(
        "requests",
        sa.Column("id", sa.String(length=48), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "received",
                "awaiting_approval",
                "queued",
                "running",
                "awaiting_rebuild",
                "needs_attention",
                "succeeded",
                "rejected",
                "canceled",
                "failed",
                name="requeststate",
                native_enum=False,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column(
            "outcome",
            sa.Enum("done", "no_match", "partial", name="outcome", native_enum=False, length=32),
            nullable=True,
        ),
        sa.Column("on_hold", sa.Boolean(), nullable=False),
        sa.Column(
            "strategy",
            sa.Enum("influence", "rebuild", "auto", name="strategy", native_enum=False, length=32),
            nullable=True,
        ),
        sa.Column("client_reference", sa.String(length=200), nullable=True),
        sa.Column("regulation", sa.String(length=32), nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("extended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(length=48), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decided_by", sa.String(length=48), nullable=True),
        sa.Column("reason", sa.String(length=500), nullable=True),
        sa.Column("every_line", sa.Boolean(), nullable=False),
        sa.Column("operation_counts", sa.JSON(), nullable=False),
        sa.Column("receipt", sa.JSON(), nullable=False),
        sa.Column("failure", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_requests")),
        sa.UniqueConstraint("client_reference", name=op.f("uq_requests_client_reference")),
    )
    with op.batch_alter_table("requests", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_requests_due_at"), ["due_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_requests_state"), ["state"], unique=False)

    op.create_table(
        "runs",
        sa.Column("id", sa.String(length=48), nullable=False),
        sa.Column("line_id", sa.String(length=48), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "train", "import", "influence", "rebuild", "collapse", name="runkind", native_enum=False, length=32
            ),
            nullable=False,
        ),
        sa.Column("lane", sa.Enum("answer", "compact", name="lane", native_enum=False, length=32), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "queued", "running", "succeeded", "failed", "canceled", name="runstate", native_enum=False, length=32
            ),
            nullable=False,
        ),
        sa.Column("pool", sa.String(length=63), nullable=False),
        sa.Column("version_id", sa.String(length=48), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("hinted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("worker", sa.String(length=200), nullable=True),
        sa.Column("frozen_seq", sa.Integer(), nullable=True),
        sa.Column("stage", sa.String(length=32), nullable=True),
        sa.Column("progress", sa.Double(), nullable=False),
        sa.Column("checkpoint", sa.String(length=200), nullable=True),
        sa.Column("swept", sa.Boolean(), nullable=False),
        sa.Column("seconds", sa.JSON(), nullable=True),
        sa.Column("report", sa.JSON(), nullable=True),
        sa.Column("failure", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runs")),
    )
    with op.batch_alter_table("runs", schema=None) as batch_op:
        batch_op.create_index("ix_runs_state", ["state"], unique=False)
        batch_op.create_index(
            "ux_runs_queued",
            ["line_id", "lane"],
            unique=True,
            sqlite_where=sa.text("state = 'queued'"),
            postgresql_where=sa.text("state = 'queued'"),
        )
        batch_op.create_index(
            "ux_runs_running",
            ["line_id", "lane"],
            unique=True,
            sqlite_where=sa.text("state = 'running'"),
            postgresql_where=sa.text("state = 'running'"),
        )

    op.create_table(
        "signing_keys",
        sa.Column("kid", sa.String(length=80), nullable=False),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=False),
        sa.Column("wrapped_key", sa.LargeBinary(), nullable=False),
        sa.Column("jwk", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("kid", name=op.f("pk_signing_keys")),
    )
    op.create_table(
        "suppressions",
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("hash", sa.String(length=80), nullable=False),
        sa.Column("line_id", sa.String(length=48), nullable=False),
        sa.Column("request_id", sa.String(length=48), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("kind", "hash", "line_id", name=op.f("pk_suppressions")),
    )
    op.create_table(
        "texts",
        sa.Column("id", sa.String(length=48), nullable=False),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=False),
        sa.Column("wrapped_key", sa.LargeBinary(), nullable=True),
        sa.Column("shredded_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_texts")),
    )
    op.create_table(
        "workers",
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("pool", sa.String(length=63), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("run_id", sa.String(length=48), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_workers")),
    )
    op.create_table(
        "instance_subjects",
        sa.Column("dataset_id", sa.String(length=48), nullable=False),
        sa.Column("instance_id", sa.String(length=200), nullable=False),
        sa.Column("subject_hash", sa.String(length=80), nullable=False),
        sa.ForeignKeyConstraint(["dataset_id"], ["datasets.id"], name=op.f("fk_instance_subjects_dataset_id")),
        sa.PrimaryKeyConstraint("dataset_id", "instance_id", "subject_hash", name=op.f("pk_instance_subjects")),
    )
    with op.batch_alter_table("instance_subjects", schema=None) as batch_op:
        batch_op.create_index("ix_instance_subjects_subject_hash", ["subject_hash"], unique=False)

    op.create_table(
        "instances",
        sa.Column("dataset_id", sa.String(length=48), nullable=False),
        sa.Column("instance_id", sa.String(length=200), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("text_id", sa.String(length=48), nullable=False),
        sa.Column("content_hash", sa.String(length=80), nullable=False),
        sa.ForeignKeyConstraint(["dataset_id"], ["datasets.id"], name=op.f("fk_instances_dataset_id")),
        sa.ForeignKeyConstraint(["text_id"], ["texts.id"], name=op.f("fk_instances_text_id")),
        sa.PrimaryKeyConstraint("dataset_id", "instance_id", name=op.f("pk_instances")),
    )
    with op.batch_alter_table("instances", schema=None) as batch_op:
        batch_op.create_index("ix_instances_dataset_id_content_hash", ["dataset_id", "content_hash"], unique=False)

    op.create_table(
        "operations",
        sa.Column("request_id", sa.String(length=48), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("type", sa.String(length=32), nullable=False),
        sa.Column("text_id", sa.String(length=48), nullable=False),
        sa.Column("subject_hash", sa.String(length=80), nullable=True),
        sa.ForeignKeyConstraint(["request_id"], ["requests.id"], name=op.f("fk_operations_request_id")),
        sa.ForeignKeyConstraint(["text_id"], ["texts.id"], name=op.f("fk_operations_text_id")),
        sa.PrimaryKeyConstraint("request_id", "position", name=op.f("pk_operations")),
    )
    with op.batch_alter_table("operations", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_operations_subject_hash"), ["subject_hash"], unique=False)

    op.create_table(
        "targets",
        sa.Column("id", sa.String(length=48), nullable=False),
        sa.Column("request_id", sa.String(length=48), nullable=False),
        sa.Column("line_id", sa.String(length=48), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "awaiting_approval",
                "queued",
                "running",
                "awaiting_rebuild",
                "needs_attention",
                "succeeded",
                "rejected",
                "canceled",
                "failed",
                name="targetstate",
                native_enum=False,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column(
            "strategy",
            sa.Enum("influence", "rebuild", "auto", name="strategy", native_enum=False, length=32),
            nullable=False,
        ),
        sa.Column("batch", sa.String(length=48), nullable=False),
        sa.Column("run_id", sa.String(length=48), nullable=True),
        sa.Column("version_id", sa.String(length=48), nullable=True),
        sa.Column(
            "claim_level", sa.Enum("E", "C", "M", "I", name="claimlevel", native_enum=False, length=32), nullable=True
        ),
        sa.Column("instance_count", sa.Integer(), nullable=False),
        sa.Column("shred_by", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("failure", sa.JSON(), nullable=True),
        sa.ForeignKeyConstraint(["line_id"], ["lines.id"], name=op.f("fk_targets_line_id")),
        sa.ForeignKeyConstraint(["request_id"], ["requests.id"], name=op.f("fk_targets_request_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_targets")),
        sa.UniqueConstraint("request_id", "line_id", name=op.f("uq_targets_request_id_line_id")),
    )
    with op.batch_alter_table("targets", schema=None) as batch_op:
        batch_op.create_index("ix_targets_line_id_state", ["line_id", "state"], unique=False)
        batch_op.create_index(batch_op.f("ix_targets_run_id"), ["run_id"], unique=False)

    op.create_table(
        "versions",
        sa.Column("id", sa.String(length=48), nullable=False),
        sa.Column("line_id", sa.String(length=48), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "preparing",
                "ready",
                "rejected",
                "quarantined",
                "withdrawn",
                name="versionstate",
                native_enum=False,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ready_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("withdraw_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("withdrawn_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("run_id", sa.String(length=48), nullable=True),
        sa.Column("parent_id", sa.String(length=48), nullable=True),
        sa.Column("anchor_id", sa.String(length=48), nullable=True),
        sa.Column("ledger_seq", sa.Integer(), nullable=False),
        sa.Column("dataset_id", sa.String(length=48), nullable=False),
        sa.Column("holdout_id", sa.String(length=48), nullable=True),
        sa.Column("recipe", sa.JSON(), nullable=True),
        sa.Column("training_format", sa.JSON(), nullable=False),
        sa.Column("source", sa.JSON(), nullable=False),
        sa.Column(
            "claim_level", sa.Enum("E", "C", "M", "I", name="claimlevel", native_enum=False, length=32), nullable=True
        ),
        sa.Column("digest", sa.String(length=80), nullable=True),
        sa.Column("files", sa.JSON(), nullable=True),
        sa.Column("blob_prefix", sa.String(length=200), nullable=True),
        sa.Column("artefacts_prefix", sa.String(length=200), nullable=True),
        sa.Column("artefacts", sa.JSON(), nullable=True),
        sa.Column("capabilities", sa.JSON(), nullable=True),
        sa.Column("measurements", sa.JSON(), nullable=True),
        sa.Column("rejection", sa.JSON(), nullable=True),
        sa.ForeignKeyConstraint(["dataset_id"], ["datasets.id"], name=op.f("fk_versions_dataset_id")),
        sa.ForeignKeyConstraint(["holdout_id"], ["datasets.id"], name=op.f("fk_versions_holdout_id")),
        sa.ForeignKeyConstraint(["line_id"], ["lines.id"], name=op.f("fk_versions_line_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_versions")),
        sa.UniqueConstraint("line_id", "number", name=op.f("uq_versions_line_id_number")),
    )
    with op.batch_alter_table("versions", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_versions_line_id"), ["line_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_versions_withdraw_at"), ["withdraw_at"], unique=False)

    op.create_table(
        "aliases",
        sa.Column("line_id", sa.String(length=48), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("version_id", sa.String(length=48), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["line_id"], ["lines.id"], name=op.f("fk_aliases_line_id")),
        sa.ForeignKeyConstraint(["version_id"], ["versions.id"], name=op.f("fk_aliases_version_id")),
        sa.PrimaryKeyConstraint("line_id", "name", name=op.f("pk_aliases")),
    )
    op.create_table(
        "certificates",
        sa.Column("id", sa.String(length=48), nullable=False),
        sa.Column("request_id", sa.String(length=48), nullable=False),
        sa.Column("target_id", sa.String(length=48), nullable=False),
        sa.Column("run_id", sa.String(length=48), nullable=False),
        sa.Column("version_id", sa.String(length=48), nullable=False),
        sa.Column(
            "claim_level", sa.Enum("E", "C", "M", "I", name="claimlevel", native_enum=False, length=32), nullable=False
        ),
        sa.Column("final", sa.Boolean(), nullable=False),
        sa.Column("supersedes", sa.String(length=48), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("envelope", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["request_id"], ["requests.id"], name=op.f("fk_certificates_request_id")),
        sa.ForeignKeyConstraint(["target_id"], ["targets.id"], name=op.f("fk_certificates_target_id")),
        sa.ForeignKeyConstraint(["version_id"], ["versions.id"], name=op.f("fk_certificates_version_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_certificates")),
    )
    with op.batch_alter_table("certificates", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_certificates_request_id"), ["request_id"], unique=False)

    op.create_table(
        "ledger_entries",
        sa.Column("id", sa.String(length=48), nullable=False),
        sa.Column("line_id", sa.String(length=48), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("dataset_id", sa.String(length=48), nullable=False),
        sa.Column("instance_id", sa.String(length=200), nullable=False),
        sa.Column("text_id", sa.String(length=48), nullable=True),
        sa.Column("target_id", sa.String(length=48), nullable=False),
        sa.Column("version_id", sa.String(length=48), nullable=False),
        sa.Column("baked_id", sa.String(length=48), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["baked_id"], ["versions.id"], name=op.f("fk_ledger_entries_baked_id")),
        sa.ForeignKeyConstraint(["dataset_id"], ["datasets.id"], name=op.f("fk_ledger_entries_dataset_id")),
        sa.ForeignKeyConstraint(["line_id"], ["lines.id"], name=op.f("fk_ledger_entries_line_id")),
        sa.ForeignKeyConstraint(["target_id"], ["targets.id"], name=op.f("fk_ledger_entries_target_id")),
        sa.ForeignKeyConstraint(["text_id"], ["texts.id"], name=op.f("fk_ledger_entries_text_id")),
        sa.ForeignKeyConstraint(["version_id"], ["versions.id"], name=op.f("fk_ledger_entries_version_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_entries")),
        sa.UniqueConstraint("line_id", "seq", name=op.f("uq_ledger_entries_line_id_seq")),
    )
    with op.batch_alter_table("ledger_entries", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_ledger_entries_dataset_id"), ["dataset_id"], unique=False)
        batch_op.create_index("ix_ledger_entries_line_id_instance_id", ["line_id", "instance_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_ledger_entries_target_id"), ["target_id"], unique=False)

    op.create_table(
        "target_edits",
        sa.Column("target_id", sa.String(length=48), nullable=False),
        sa.Column("instance_id", sa.String(length=200), nullable=False),
        sa.Column("dataset_id", sa.String(length=48), nullable=False),
        sa.Column("text_id", sa.String(length=48), nullable=True),
        sa.ForeignKeyConstraint(["dataset_id"], ["datasets.id"], name=op.f("fk_target_edits_dataset_id")),
        sa.ForeignKeyConstraint(["target_id"], ["targets.id"], name=op.f("fk_target_edits_target_id")),
        sa.ForeignKeyConstraint(["text_id"], ["texts.id"], name=op.f("fk_target_edits_text_id")),
        sa.PrimaryKeyConstraint("target_id", "instance_id", name=op.f("pk_target_edits")),
    )
    with op.batch_alter_table("target_edits", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_target_edits_instance_id"), ["instance_id"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("target_edits", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_target_edits_instance_id"))

    op.drop_table("target_edits")
    with op.batch_alter_table("ledger_entries", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_ledger_entries_target_id"))
        batch_op.drop_index("ix_ledger_entries_line_id_instance_id")
        batch_op.drop_index(batch_op.f("ix_ledger_entries_dataset_id"))

    op.drop_table("ledger_entries")
    with op.batch_alter_table("certificates", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_certificates_request_id"))

    op.drop_table("certificates")
    op.drop_table("aliases")
    with op.batch_alter_table("versions", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_versions_withdraw_at"))
        batch_op.drop_index(batch_op.f("ix_versions_line_id"))

    op.drop_table("versions")
    with op.batch_alter_table("targets", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_targets_run_id"))
        batch_op.drop_index("ix_targets_line_id_state")

    op.drop_table("targets")
    with op.batch_alter_table("operations", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_operations_subject_hash"))

    op.drop_table("operations")
    with op.batch_alter_table("instances", schema=None) as batch_op:
        batch_op.drop_index("ix_instances_dataset_id_content_hash")

    op.drop_table("instances")
    with op.batch_alter_table("instance_subjects", schema=None) as batch_op:
        batch_op.drop_index("ix_instance_subjects_subject_hash")

    op.drop_table("instance_subjects")
    op.drop_table("workers")
    op.drop_table("texts")
    op.drop_table("suppressions")
    op.drop_table("signing_keys")
    with op.batch_alter_table("runs", schema=None) as batch_op:
        batch_op.drop_index(
            "ux_runs_running", sqlite_where=sa.text("state = 'running'"), postgresql_where=sa.text("state = 'running'")
        )
        batch_op.drop_index(
            "ux_runs_queued", sqlite_where=sa.text("state = 'queued'"), postgresql_where=sa.text("state = 'queued'")
        )
        batch_op.drop_index("ix_runs_state")

    op.drop_table("runs")
    with op.batch_alter_table("requests", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_requests_state"))
        batch_op.drop_index(batch_op.f("ix_requests_due_at"))

    op.drop_table("requests")
    with op.batch_alter_table("outbox", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_outbox_sent_at"))

    op.drop_table("outbox")
    with op.batch_alter_table("lines", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_lines_rebuild_due_at"))

    op.drop_table("lines")
    op.drop_table("idempotency")
    with op.batch_alter_table("events", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_events_run_id"))
        batch_op.drop_index(batch_op.f("ix_events_request_id"))
        batch_op.drop_index(batch_op.f("ix_events_adapter"))

    op.drop_table("events")
    op.drop_table("datasets")
    op.drop_table("audit")
    op.drop_table("api_keys")
