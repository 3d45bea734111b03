"""When a ledger is compacted, and why then: its age or length, what must be shredded, or that it has drifted."""

from datetime import UTC, datetime, timedelta

import pytest

from service.domain.adapters import Policy
from service.domain.compaction import Compaction, CompactionReason, compaction_due, has_drifted, lead

NOW = datetime(2026, 1, 1, tzinfo=UTC)
POLICY = Policy(rebuild_after_s=100, rebuild_after_count=10, max_drift=0.5)


def at(seconds: float | None) -> datetime | None:
    return None if seconds is None else NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize(("drift", "drifted"), [(None, False), (0.0, False), (0.5, False), (0.51, True)])
def test_drift_is_measured_against_the_policy(drift: float | None, drifted: bool) -> None:
    assert has_drifted(drift, POLICY) is drifted


@pytest.mark.parametrize(
    ("scheduled", "shred_by", "drift", "count", "due", "because"),
    [
        (None, None, None, 1, 100, "age"),
        (None, 1000, 0.1, 1, 100, "age"),
        (None, 30, 0.1, 1, 30, "shredding"),
        (20, 30, None, 1, 20, "age"),
        (500, 1000, None, 1, 100, "age"),
        (None, 1000, 0.9, 1, 0, "drift"),
        (20, 30, 0.9, 1, 0, "drift"),
        (-5, 30, 0.9, 1, -5, "age"),
        (None, 1000, None, 9, 100, "age"),
        (None, 1000, None, 10, 0, "count"),
        (20, 1000, 0.9, 10, 0, "drift"),
        (None, -5, None, 10, -5, "shredding"),
    ],
)
def test_the_earliest_reason_sets_the_date(
    scheduled: float | None, shred_by: float | None, drift: float | None, count: int, due: float, because: str
) -> None:
    known = None if scheduled is None else Compaction(NOW + timedelta(seconds=scheduled), CompactionReason.age)
    found = compaction_due(
        POLICY, now=NOW, scheduled=known, shred_by=at(shred_by), drift=drift, count=count, rebuildable=True
    )
    assert found == Compaction(NOW + timedelta(seconds=due), CompactionReason(because))


@pytest.mark.parametrize("shred_by", [None, 1000])
def test_a_line_that_only_collapses_does_so_when_it_must_shred(shred_by: float | None) -> None:
    found = compaction_due(
        POLICY, now=NOW, scheduled=None, shred_by=at(shred_by), drift=0.9, count=50, rebuildable=False
    )
    assert (None if found is None else found.due_at) == at(shred_by)


def test_a_ledger_may_grow_for_ever_where_the_policy_counts_nothing() -> None:
    found = compaction_due(
        Policy(rebuild_after_s=100), now=NOW, scheduled=None, shred_by=None, drift=None, count=10**9, rebuildable=True
    )
    assert found == Compaction(NOW + timedelta(seconds=100), CompactionReason.age)


@pytest.mark.parametrize(("available_s", "estimated_s", "lead_s"), [
    (1_000_000, None, 3600), (1_000_000, 5000, 10_000), (10_000, 5000, 1000), (-5, 100, 0),
])  # fmt: skip
def test_a_promise_by_a_date_begins_before(available_s: float, estimated_s: float | None, lead_s: float) -> None:
    assert lead(timedelta(seconds=available_s), estimated_s=estimated_s) == timedelta(seconds=lead_s)
