"""When a ledger is compacted: by age, by what must be shredded, or because it has drifted."""

from datetime import UTC, datetime, timedelta

import pytest

from service.domain.adapters import Policy
from service.domain.compaction import compaction_due, has_drifted

NOW = datetime(2026, 1, 1, tzinfo=UTC)
POLICY = Policy(rebuild_after_s=100, max_drift=0.5)


def at(seconds: float | None) -> datetime | None:
    return None if seconds is None else NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize(("drift", "drifted"), [(None, False), (0.0, False), (0.5, False), (0.51, True)])
def test_drift_is_measured_against_the_policy(drift: float | None, drifted: bool) -> None:
    assert has_drifted(drift, POLICY) is drifted


@pytest.mark.parametrize(
    ("scheduled", "shred_by", "drift", "rebuildable", "due"),
    [
        (None, None, None, True, 100),
        (None, 1000, 0.1, True, 100),
        (None, 30, 0.1, True, 30),
        (20, 30, None, True, 20),
        (500, 1000, None, True, 100),
        (None, 1000, 0.9, True, 0),
        (20, 30, 0.9, True, 0),
        (-5, 30, 0.9, True, -5),
        (None, 1000, 0.9, False, 1000),
        (20, 1000, None, False, 1000),
        (None, None, 0.9, False, None),
    ],
)
def test_the_earliest_reason_sets_the_date(
    scheduled: float | None, shred_by: float | None, drift: float | None, rebuildable: bool, due: float | None
) -> None:
    found = compaction_due(
        POLICY, now=NOW, scheduled=at(scheduled), shred_by=at(shred_by), drift=drift, rebuildable=rebuildable
    )
    assert found == at(due)
