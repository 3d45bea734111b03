"""Business days in California: neither weekends nor days on which the state's offices are closed.

The regulations do not define a business day. Taken are the eleven days that state employees have off (Government Code,
section 19853): on Monday where they fall on a Sunday, and Veterans Day on Friday where it falls on a Saturday. Days
that section 6700 names but on which offices are open, such as Lincoln Day or Juneteenth, and those that a Governor
appoints count as business days: a date may be earlier than it had to be, and never later.
"""

import calendar
from collections.abc import Iterator
from datetime import date, timedelta
from functools import cache

DAY = timedelta(days=1)


def after_business_days(day: date, count: int) -> date:
    """The business day that is the `count`-th after a day."""
    while count:
        day += DAY
        count -= is_business_day(day)
    return day


def is_business_day(day: date) -> bool:
    return day.weekday() < calendar.SATURDAY and day not in holidays(day.year)


@cache
def holidays(year: int) -> frozenset[date]:
    """The holidays of a year, on the days on which they are observed."""
    return frozenset(_holidays(year))


def _holidays(year: int) -> Iterator[date]:
    # New Year's Day, Cesar Chavez Day, Independence Day, Veterans Day, Christmas Day.
    for month, day in ((1, 1), (3, 31), (7, 4), (11, 11), (12, 25)):
        yield _observed(date(year, month, day))
    yield _nth(year, 1, calendar.MONDAY, 3)  # Martin Luther King Jr. Day
    yield _nth(year, 2, calendar.MONDAY, 3)  # Presidents' Day
    yield _nth(year, 6, calendar.MONDAY, 1) - 7 * DAY  # Memorial Day, the last Monday in May
    yield _nth(year, 9, calendar.MONDAY, 1)  # Labor Day
    thanksgiving = _nth(year, 11, calendar.THURSDAY, 4)
    yield thanksgiving
    yield thanksgiving + DAY


def _observed(day: date) -> date:
    if day.weekday() == calendar.SUNDAY:
        return day + DAY
    if day.weekday() == calendar.SATURDAY and day.month == 11:
        return day - DAY
    return day


def _nth(year: int, month: int, weekday: int, count: int) -> date:
    """The `count`-th such weekday of a month."""
    first = date(year, month, 1)
    return first + ((weekday - first.weekday()) % 7 + 7 * (count - 1)) * DAY
