"""When a line's ledger is compacted: trained into a new anchor."""

from datetime import datetime, timedelta

from service.domain.adapters import Policy

# What is promised by a date is begun a while before: at least so long, but at most a tenth of the time there is.
LEAD = timedelta(hours=1)


def begin_by(shred_by: datetime, policy: Policy, *, estimated_s: float | None) -> datetime:
    """When the run that lets a line shred must begin to be done in time: twice as early as its estimate says."""
    wanted = max(LEAD, timedelta(seconds=2 * (estimated_s or 0.0)))
    return shred_by - min(wanted, timedelta(seconds=policy.shred_within_s / 10))


def has_drifted(drift: float | None, policy: Policy) -> bool:
    """Whether what was measured is too far from what was predicted to go on solving from the same anchor."""
    return drift is not None and drift > policy.max_drift


def compaction_due(
    policy: Policy,
    *,
    now: datetime,
    scheduled: datetime | None,
    shred_by: datetime | None,
    drift: float | None,
    rebuildable: bool,
) -> datetime | None:
    """Once the ledger is old enough or has drifted, by the last moment to begin shredding, never later than scheduled.

    A line that cannot be rebuilt only collapses, which mends no drift: it does so when it must shred.
    """
    if not rebuildable:
        return shred_by
    due = now if has_drifted(drift, policy) else now + timedelta(seconds=policy.rebuild_after_s)
    return min(moment for moment in (scheduled, due, shred_by) if moment is not None)
