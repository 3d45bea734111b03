"""Legal clocks: when receipt must be confirmed, when an answer is due, and how far that may be put off.

Days are counted in the deployment's time zone (`LETHE_TIME_ZONE`), because that is where the law looks at the
calendar. The day of receipt does not count, and a period ends with the last second of its last day (Regulation
1182/71, article 3; California Civil Code, section 10).
"""

import calendar
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from types import MappingProxyType
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, WithJsonSchema

from service.domain.business_days import after_business_days

EARLIEST, LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
LAST_SECOND = time(23, 59, 59)
# How long before its due date a request raises an alarm, where nothing else is set.
DUE_SOON = timedelta(days=7)


def _within_reason(moment: datetime) -> datetime:
    """Leaves room for calendar arithmetic."""
    if not EARLIEST <= moment < LATEST:
        raise ValueError("the date must lie between 2000 and 2200")
    return moment


def _no_number(given: object) -> object:
    """Pydantic takes numbers for seconds or milliseconds, by their size."""
    if isinstance(given, int | float) or (isinstance(given, str) and not given.strip()[4:5] == "-"):
        raise ValueError("give a date and time like 2026-03-01T00:00:00Z")
    return given


Moment = Annotated[
    AwareDatetime,
    BeforeValidator(_no_number),
    AfterValidator(_within_reason),
    WithJsonSchema({"type": "string", "format": "date-time", "pattern": "^2[01][0-9]{2}-"}),
]


@dataclass(frozen=True, slots=True)
class Period:
    """Whole calendar months, then calendar days."""

    months: int = 0
    days: int = 0

    def after(self, day: date) -> date:
        """Its last day. A month without the same day ends with its own last day."""
        year, month = divmod(day.year * 12 + day.month - 1 + self.months, 12)
        last = calendar.monthrange(year, month + 1)[1]
        return date(year, month + 1, min(day.day, last)) + timedelta(days=self.days)


@dataclass(frozen=True, slots=True)
class Clock:
    """The periods of a regulation, all from the day of receipt.

    `at_most`: where an extension ends; None if the law is not known. `moves_on`: a period that would end on a
    Saturday or Sunday ends on the Monday after it. `acknowledge_within`: business days; None if none is prescribed.
    """

    answer: Period
    at_most: Period | None
    moves_on: bool = False
    acknowledge_within: int | None = None

    def ends(self, period: Period, received_at: datetime, zone: tzinfo) -> datetime:
        day = period.after(received_at.astimezone(zone).date())
        if self.moves_on and day.weekday() >= calendar.SATURDAY:
            day += timedelta(days=7 - day.weekday())
        return end_of(day, zone)


# GDPR article 12(3): one month, and two further ones. Regulation 1182/71, article 3(4), moves an end on a weekend to
# the next working day. It does so for public holidays too, which differ by country and even by region; they are left
# out, so that a date may be earlier than it had to be and never later. The UK regulator counts in the same way.
EUROPE = Clock(answer=Period(months=1), at_most=Period(months=3), moves_on=True)
# California Code of Regulations, title 11, section 7021: ten business days to confirm, 45 calendar days to answer,
# 90 with an extension. It names no exception for weekends, so none is made.
CALIFORNIA = Clock(answer=Period(days=45), at_most=Period(days=90), acknowledge_within=10)
# What is not named, or not known here. Nobody can tell how far it may be extended.
OTHER = Clock(answer=Period(days=30), at_most=None)

CLOCKS: Mapping[str, Clock] = MappingProxyType(
    {"gdpr": EUROPE, "uk_gdpr": EUROPE, "ccpa": CALIFORNIA, "cpra": CALIFORNIA}
)


def clock_of(regulation: str | None) -> Clock:
    return OTHER if regulation is None else CLOCKS.get(regulation, OTHER)


def due_at(received_at: datetime, regulation: str | None, zone: tzinfo) -> datetime:
    """When a request received then must be answered."""
    clock = clock_of(regulation)
    return clock.ends(clock.answer, received_at, zone)


def latest_due_at(received_at: datetime, regulation: str | None, zone: tzinfo) -> datetime | None:
    """Up to when that may be extended; None if no limit is known."""
    clock = clock_of(regulation)
    return None if clock.at_most is None else clock.ends(clock.at_most, received_at, zone)


def ack_due_at(received_at: datetime, regulation: str | None, zone: tzinfo) -> datetime | None:
    """When the data subject must have been told that the request was received; None if that is not prescribed."""
    within = clock_of(regulation).acknowledge_within
    if within is None:
        return None
    return end_of(after_business_days(received_at.astimezone(zone).date(), within), zone)


def end_of(day: date, zone: tzinfo) -> datetime:
    """The last second of a day, in UTC."""
    return datetime.combine(day, LAST_SECOND, tzinfo=zone).astimezone(UTC)
