"""Legal clocks at the ends of months."""

from datetime import UTC, datetime, timedelta

import pytest

from service.domain.clocks import due_at


def day(year: int, month: int, day_: int) -> datetime:
    return datetime(year, month, day_, 23, 59, tzinfo=UTC)


@pytest.mark.parametrize(
    ("received", "due"),
    [
        (day(2026, 1, 15), day(2026, 2, 15)),
        (day(2026, 1, 31), day(2026, 2, 28)),
        (day(2028, 1, 31), day(2028, 2, 29)),
        (day(2026, 8, 31), day(2026, 9, 30)),
        (day(2026, 12, 31), day(2027, 1, 31)),
    ],
)
def test_gdpr_gives_a_calendar_month(received: datetime, due: datetime) -> None:
    assert due_at(received, "gdpr") == due


def test_california_gives_45_days_and_others_30() -> None:
    received = day(2026, 1, 31)
    assert due_at(received, "ccpa") - received == timedelta(days=45)
    assert due_at(received, None) - received == timedelta(days=30)
