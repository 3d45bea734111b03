"""Data subjects of requests as rows, by which requests are searched; decisions as a list; codes, refusals, alarms.

Columns of `requests` are dropped in place: SQLite could not copy a table that others refer to.
"""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

OPERATIONS = sa.table(
    "operations",
    sa.column("request_id", sa.String),
    sa.column("position", sa.Integer),
    sa.column("subject_hash", sa.String),
    sa.column("lookups", sa.JSON),
)
MOMENT = sa.DateTime(timezone=True)
CODES = (
    "suspected_fraud",
    "insufficient_verification",
    "no_match",
    "claim_not_covered",
    "outside_jurisdiction",
    "too_many_requests",
    "legal_exception",
    "other",
)
REQUESTS = sa.table(
    "requests",
    sa.column("id", sa.String),
    sa.column("state", sa.String),
    sa.column("on_hold", sa.Boolean),
    sa.column("due_at", MOMENT),
    sa.column("extended_at", MOMENT),
    sa.column("created_at", MOMENT),
    sa.column("finished_at", MOMENT),
    sa.column("decided_by", sa.String),
    sa.column("reason", sa.String),
    sa.column("rejection_code", sa.String),
    sa.column("decisions", sa.JSON),
)
SUBJECTS = sa.table("request_subjects", sa.column("lookup", sa.String), sa.column("request_id", sa.String))


def upgrade() -> None:
    op.create_table(
        "request_subjects",
        sa.Column("lookup", sa.String(length=80), nullable=False),
        sa.Column("request_id", sa.String(length=48), nullable=False),
        sa.ForeignKeyConstraint(["request_id"], ["requests.id"], name=op.f("fk_request_subjects_request_id")),
        sa.PrimaryKeyConstraint("lookup", "request_id", name=op.f("pk_request_subjects")),
    )
    op.create_index(op.f("ix_request_subjects_request_id"), "request_subjects", ["request_id"])
    query = sa.select(OPERATIONS.c.request_id, OPERATIONS.c.subject_hash, OPERATIONS.c.lookups)
    found = op.get_bind().execute(query.where(OPERATIONS.c.subject_hash.is_not(None))).all()
    rows = {(lookup, request) for request, own, lookups in found for lookup in lookups or (own,)}
    if rows:
        op.bulk_insert(SUBJECTS, [{"lookup": lookup, "request_id": request} for lookup, request in sorted(rows)])
    with op.batch_alter_table("operations") as batch_op:
        batch_op.drop_column("lookups")
    _decisions()


def _decisions() -> None:
    code = sa.Enum(*CODES, name="rejectioncode", native_enum=False, length=32)
    with op.batch_alter_table("requests") as batch_op:
        batch_op.add_column(sa.Column("decisions", sa.JSON(), nullable=False, server_default="[]"))
        batch_op.add_column(sa.Column("rejection_code", code, nullable=True))
        batch_op.add_column(sa.Column("refusal", sa.JSON(), nullable=True))
        for name in ("ack_due_at", "due_soon_at", "overdue_at"):
            batch_op.add_column(sa.Column(name, MOMENT, nullable=True))
    bind = op.get_bind()
    bind.execute(sa.update(REQUESTS).where(REQUESTS.c.state == "rejected").values(rejection_code="other"))
    for row in bind.execute(sa.select(REQUESTS).where(REQUESTS.c.reason.is_not(None))).all():
        bind.execute(sa.update(REQUESTS).where(REQUESTS.c.id == row.id).values(decisions=[_decision(row)]))
    op.drop_column("requests", "reason")


def _decision(row: sa.Row[Any]) -> dict[str, Any]:
    """What a reason was most likely given for: a later one overwrote it."""
    verb, at = "accept", row.finished_at
    if row.state == "rejected":
        verb = "reject"
    elif row.on_hold:
        verb = "hold"
    elif row.extended_at is not None:
        verb, at = "extend", row.extended_at
    return {
        "verb": verb,
        "by": row.decided_by or "unknown",
        "at": _utc(at or row.created_at),
        "reason_code": "other" if verb == "reject" else None,
        "reason": row.reason,
        "due_at": _utc(row.due_at) if verb == "extend" else None,
    }


def _utc(moment: datetime) -> str:
    """SQLite gives no zone."""
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()


def downgrade() -> None:
    with op.batch_alter_table("requests") as batch_op:
        batch_op.add_column(sa.Column("reason", sa.String(length=500), nullable=True))
    bind = op.get_bind()
    for row in bind.execute(sa.select(REQUESTS.c.id, REQUESTS.c.decisions)).all():
        reasons = [made["reason"] for made in row.decisions if made["reason"] is not None]
        if reasons:
            bind.execute(sa.update(REQUESTS).where(REQUESTS.c.id == row.id).values(reason=reasons[-1]))
    for name in ("overdue_at", "due_soon_at", "ack_due_at", "refusal", "rejection_code", "decisions"):
        op.drop_column("requests", name)
    with op.batch_alter_table("operations") as batch_op:
        batch_op.add_column(sa.Column("lookups", sa.JSON(), nullable=True))
    for request, lookups in _by_request(bind).items():
        named = OPERATIONS.c.request_id == request, OPERATIONS.c.subject_hash.is_not(None)
        bind.execute(sa.update(OPERATIONS).where(*named).values(lookups=lookups))
    op.drop_index(op.f("ix_request_subjects_request_id"), "request_subjects")
    op.drop_table("request_subjects")


def _by_request(bind: sa.Connection) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for lookup, request in bind.execute(sa.select(SUBJECTS.c.lookup, SUBJECTS.c.request_id)):
        found.setdefault(request, []).append(lookup)
    return found
