"""Data subjects of requests as rows, by which requests are searched."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
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


def downgrade() -> None:
    with op.batch_alter_table("operations") as batch_op:
        batch_op.add_column(sa.Column("lookups", sa.JSON(), nullable=True))
    bind = op.get_bind()
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
