"""What is reported of many unlearning requests at once: the figures of California's section 7102, and some more."""

from collections.abc import Mapping
from dataclasses import dataclass

from service.domain.decisions import RejectionCode


@dataclass(frozen=True, slots=True)
class Figures:
    """Counts of requests, and days from receipt to answer.

    An answer is what complies in whole or in part (`complied`), finds nobody (`no_match`) or denies; `in_time` and
    `late` tell answers apart by their due dates. `overdue`: of the open ones, those past theirs. The days are None if
    nothing was answered.
    """

    received: int
    complied: int
    denied: int
    no_match: int
    canceled: int
    failed: int
    open: int
    overdue: int
    in_time: int
    late: int
    mean_days: float | None
    median_days: float | None


NOTHING = Figures(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, None, None)


@dataclass(frozen=True, slots=True)
class Summary:
    """Figures of all requests, by regulation (None: none was named), and by type of operation.

    A request with operations of two types counts under both. `denials`: rejections by their codes.
    """

    total: Figures
    by_regulation: Mapping[str | None, Figures]
    by_operation: Mapping[str, Figures]
    denials: Mapping[RejectionCode, int]
