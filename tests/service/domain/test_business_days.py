"""California's business days, checked against the days off that the state publishes for its employees."""

from datetime import date

import pytest

from service.domain.business_days import after_business_days, holidays, is_business_day


@pytest.mark.parametrize(
    ("year", "published"),
    [
        (2013, "01-01 01-21 02-18 04-01 05-27 07-04 09-02 11-11 11-28 11-29 12-25"),
        # New Year's Day 2028 is a Saturday, which is not made up for; Veterans Day is, on the Friday before.
        (2028, "01-01 01-17 02-21 03-31 05-29 07-04 09-04 11-10 11-23 11-24 12-25"),
        (2023, "01-02 01-16 02-20 03-31 05-29 07-04 09-04 11-10 11-23 11-24 12-25"),
    ],
)
def test_holidays_of_a_year(year: int, published: str) -> None:
    assert holidays(year) == {date.fromisoformat(f"{year}-{day}") for day in published.split()}


@pytest.mark.parametrize("day", ["2026-06-19", "2026-02-12", "2026-10-12", "2026-07-03"])
def test_days_on_which_offices_are_open_count(day: str) -> None:
    assert is_business_day(date.fromisoformat(day))


def test_the_first_day_does_not_count() -> None:
    friday = date(2026, 5, 8)
    assert after_business_days(friday, 1) == date(2026, 5, 11)
    assert after_business_days(date(2026, 5, 9), 1) == date(2026, 5, 11)
