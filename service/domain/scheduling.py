"""When a queued run may begin: after its line's window, outside quiet hours, but in time for what was promised."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from service.domain.adapters import Policy
from service.domain.compaction import lead
from service.domain.quiet_hours import next_start


class Wait(StrEnum):
    """What a run waits for: more requests, the end of quiet hours, or that what it failed on is well again."""

    window = "window"
    quiet_hours = "quiet_hours"
    retry = "retry"


@dataclass(frozen=True, slots=True)
class Waiting:
    """A request that waits for a run: since when, and when its data must be gone at the latest."""

    since: datetime
    due: datetime
    urgent: bool


@dataclass(frozen=True, slots=True)
class Start:
    """When a run may begin. `waits_for` None: at once, and `at` is now."""

    at: datetime
    waits_for: Wait | None = None


def start(
    policy: Policy,
    *,
    now: datetime,
    waiting: Sequence[Waiting],
    scheduled: datetime | None = None,
    begin_by: datetime | None = None,
    estimated_s: float | None = None,
) -> Start:
    """When the run that answers `waiting` may begin. An urgent one takes all others along.

    Args:
        scheduled: when it is to begin whoever waits, because the ledger is due.
        begin_by: when it must begin so that data are shredded in time.
        estimated_s: what a rebuild takes.
    """
    if any(one.urgent for one in waiting):
        return Start(now)
    asked = [one.since + timedelta(seconds=policy.coalesce_s) for one in waiting]
    earliest = max(now, min([*asked, *([] if scheduled is None else [scheduled])], default=now))
    wanted = next_start(earliest, policy.quiet_hours)
    limits = [answer_by(one, estimated_s=estimated_s) for one in waiting]
    at = min([wanted, *limits, *([] if begin_by is None else [begin_by])])
    if at <= now:
        return Start(now)
    return Start(at, Wait.window if wanted == earliest else Wait.quiet_hours)


def answer_by(one: Waiting, *, estimated_s: float | None) -> datetime:
    """When a request becomes urgent by itself: early enough to be answered, and rebuilt after that."""
    return one.due - 2 * lead(one.due - one.since, estimated_s=estimated_s)
