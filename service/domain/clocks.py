"""Legal clocks: when an answer is due."""

import calendar
from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime

EARLIEST, LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


def _within_reason(moment: datetime) -> datetime:
    """Leaves room for calendar arithmetic."""
    if not EARLIEST <= moment < LATEST:
        raise ValueError("the date must lie between 2000 and 2200")
    return moment


Moment = Annotated[AwareDatetime, AfterValidator(_within_reason)]

CALIFORNIA_DAYS = 45
DEFAULT_DAYS = 30


def due_at(received_at: datetime, regulation: str | None) -> datetime:
    """When a request received then must be answered.

    GDPR article 12(3): one month, counted to the same day of the next month or, where that month is
    shorter, its last day (Regulation 1182/71, article 3). California (§ 7021): 45 calendar days.
    Any other: 30 days.
    """
    if regulation in ("gdpr", "uk_gdpr"):
        return add_month(received_at)
    return received_at + timedelta(days=CALIFORNIA_DAYS if regulation == "ccpa" else DEFAULT_DAYS)


def add_month(moment: datetime) -> datetime:
    """The same day and time one calendar month later, or that month's last day."""
    year, month = (moment.year + 1, 1) if moment.month == 12 else (moment.year, moment.month + 1)
    return moment.replace(year=year, month=month, day=min(moment.day, calendar.monthrange(year, month)[1]))
