"""When a line's ledger is compacted: trained into a new anchor."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from service.domain.adapters import Policy

# What is promised by a date is begun a while before: at least so long, but at most a tenth of the time there is.
LEAD = timedelta(hours=1)


class CompactionReason(StrEnum):
    """Why a ledger is compacted when it is."""

    age = "age"
    length = "count"
    drift = "drift"
    shredding = "shredding"


@dataclass(frozen=True, slots=True)
class Compaction:
    """When a ledger is to be compacted, and why not later."""

    due_at: datetime
    because: CompactionReason


def lead(available: timedelta, *, estimated_s: float | None) -> timedelta:
    """How long before its date a rebuild must begin: twice as early as its estimate says."""
    wanted = max(LEAD, timedelta(seconds=2 * (estimated_s or 0.0)))
    return min(wanted, max(available, timedelta(0)) / 10)


def begin_by(shred_by: datetime, policy: Policy, *, estimated_s: float | None) -> datetime:
    """When the run that lets a line shred must begin to be done in time."""
    return shred_by - lead(timedelta(seconds=policy.shred_within_s), estimated_s=estimated_s)


def has_drifted(drift: float | None, policy: Policy) -> bool:
    """Whether what was measured is too far from what was predicted to go on solving from the same anchor."""
    return drift is not None and drift > policy.max_drift


def compaction_due(
    policy: Policy,
    *,
    now: datetime,
    scheduled: Compaction | None,
    shred_by: datetime | None,
    drift: float | None,
    count: int,
    rebuildable: bool,
) -> Compaction | None:
    """At once if the ledger has drifted or grown too long, else once it is old enough; by the last moment to begin
    shredding, and never later than scheduled.

    A line that cannot be rebuilt only collapses, which mends nothing: it does so when it must shred.

    Args:
        count: instances that the ledger changes.
    """
    shredding = None if shred_by is None else Compaction(shred_by, CompactionReason.shredding)
    if not rebuildable:
        return shredding
    due = Compaction(now + timedelta(seconds=policy.rebuild_after_s), CompactionReason.age)
    if has_drifted(drift, policy):
        due = Compaction(now, CompactionReason.drift)
    elif policy.rebuild_after_count is not None and count >= policy.rebuild_after_count:
        due = Compaction(now, CompactionReason.length)
    return min((one for one in (scheduled, due, shredding) if one is not None), key=lambda one: one.due_at)
