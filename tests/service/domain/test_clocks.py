"""Legal clocks: month ends, weekends, holidays, years with a leap day, and days that are longer or shorter."""

from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.clocks import CLOCKS, EARLIEST, LATEST, ack_due_at, due_at, latest_due_at

BERLIN, ANGELES, AUCKLAND = ZoneInfo("Europe/Berlin"), ZoneInfo("America/Los_Angeles"), ZoneInfo("Pacific/Auckland")
ZONES = [UTC, BERLIN, ANGELES, AUCKLAND]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def end_of(day: str) -> datetime:
    return at(f"{day}T23:59:59+00:00")


class TestEurope:
    @pytest.mark.parametrize(
        ("received", "due"),
        [
            ("2026-03-05", "2026-04-06"),  # the 5th of April is a Sunday
            ("2026-06-15", "2026-07-15"),
            ("2026-08-31", "2026-09-30"),  # September has no 31st
            ("2026-01-31", "2026-03-02"),  # the last of February is a Saturday
            ("2027-01-31", "2027-03-01"),  # it is a Sunday
            ("2028-01-31", "2028-02-29"),  # a leap year
            ("2028-01-29", "2028-02-29"),
            ("2028-02-29", "2028-03-29"),
            ("2100-01-29", "2100-03-01"),  # 2100 is none; the 28th is a Sunday
            ("2026-12-01", "2027-01-01"),  # a public holiday, which not every country has: nothing moves
            ("2026-12-31", "2027-02-01"),  # over the end of the year, to a Sunday
        ],
    )
    @pytest.mark.parametrize("regulation", ["gdpr", "uk_gdpr"])
    def test_one_month_to_the_end_of_its_last_day_but_not_on_a_weekend(
        self, regulation: str, received: str, due: str
    ) -> None:
        for time in ("00:00:00", "12:30:00", "23:59:59.999999"):
            assert due_at(at(f"{received}T{time}+00:00"), regulation, UTC) == end_of(due)

    @pytest.mark.parametrize(
        ("received", "latest"),
        [
            ("2026-06-15", "2026-09-15"),
            ("2026-11-30", "2027-03-01"),  # the last of February is a Sunday
            ("2027-11-30", "2028-02-29"),
            ("2026-10-31", "2027-02-01"),  # not counted from the end of the first month, the 30th of November
        ],
    )
    def test_an_extension_ends_three_months_after_receipt(self, received: str, latest: str) -> None:
        assert latest_due_at(at(f"{received}T08:00:00+00:00"), "gdpr", UTC) == end_of(latest)

    def test_no_date_is_set_for_confirming_receipt(self) -> None:
        assert ack_due_at(at("2026-06-15T08:00:00+00:00"), "gdpr", UTC) is None


class TestCalifornia:
    @pytest.mark.parametrize(
        ("received", "due", "latest"),
        [
            ("2026-01-31", "2026-03-17", "2026-05-01"),
            ("2028-01-31", "2028-03-16", "2028-04-30"),  # a leap year; a Sunday, which moves nothing
            ("2026-11-20", "2027-01-04", "2027-02-18"),
        ],
    )
    @pytest.mark.parametrize("regulation", ["ccpa", "cpra"])
    def test_45_calendar_days_and_90_at_most(self, regulation: str, received: str, due: str, latest: str) -> None:
        moment = at(f"{received}T12:00:00+00:00")
        assert due_at(moment, regulation, UTC) == end_of(due)
        assert latest_due_at(moment, regulation, UTC) == end_of(latest)

    @pytest.mark.parametrize(
        ("received", "confirmed"),
        [
            ("2026-05-04", "2026-05-18"),
            ("2026-05-15", "2026-06-01"),  # Memorial Day
            ("2026-02-07", "2026-02-23"),  # a Saturday; Presidents' Day
            ("2026-11-20", "2026-12-08"),  # Thanksgiving and the day after
            ("2026-12-18", "2027-01-05"),  # Christmas and New Year's Day
            ("2027-06-30", "2027-07-15"),  # the Fourth of July is a Sunday
            ("2026-06-24", "2026-07-08"),  # it is a Saturday
        ],
    )
    def test_receipt_is_confirmed_within_ten_business_days(self, received: str, confirmed: str) -> None:
        assert ack_due_at(at(f"{received}T12:00:00+00:00"), "ccpa", UTC) == end_of(confirmed)


class TestOthers:
    @pytest.mark.parametrize("regulation", [None, "lgpd"])
    def test_30_calendar_days_and_no_known_limit(self, regulation: str | None) -> None:
        received = at("2026-01-31T12:00:00+00:00")
        assert due_at(received, regulation, UTC) == end_of("2026-03-02")
        assert latest_due_at(received, regulation, UTC) is None
        assert ack_due_at(received, regulation, UTC) is None


class TestZones:
    @pytest.mark.parametrize(
        ("received", "regulation", "zone", "due"),
        [
            # Half past midnight in Berlin is the evening before in UTC; it ends in summer time.
            ("2026-02-28T23:30:00+00:00", "gdpr", BERLIN, "2026-04-01T23:59:59+02:00"),
            ("2026-02-28T23:30:00+00:00", "gdpr", UTC, "2026-03-30T23:59:59+00:00"),
            # Winter time comes back in between, and on the day of receipt, which has 25 hours.
            ("2026-10-12T12:00:00+02:00", "gdpr", BERLIN, "2026-11-12T23:59:59+01:00"),
            ("2026-10-25T02:30:00+01:00", "gdpr", BERLIN, "2026-11-25T23:59:59+01:00"),
            # Where it is still yesterday, and summer time begins; where it is tomorrow already, and it ends.
            ("2026-03-01T02:00:00+00:00", "ccpa", ANGELES, "2026-04-14T23:59:59-07:00"),
            ("2026-03-01T12:00:00+00:00", "ccpa", AUCKLAND, "2026-04-16T23:59:59+12:00"),
            # The last day is the one that has 23 hours.
            ("2026-01-22T20:00:00-08:00", "ccpa", ANGELES, "2026-03-08T23:59:59-07:00"),
        ],
    )
    def test_days_are_those_of_the_deployment(self, received: str, regulation: str, zone: ZoneInfo, due: str) -> None:
        assert due_at(at(received), regulation, zone) == at(due)

    def test_business_days_too(self) -> None:
        # Friday evening in California, Saturday in UTC: Presidents' Day lies in between either way.
        received = at("2026-02-14T04:00:00+00:00")
        assert ack_due_at(received, "ccpa", ANGELES) == at("2026-03-02T23:59:59-08:00")
        assert ack_due_at(received, "ccpa", UTC) == end_of("2026-03-02")


MOMENTS = st.integers(int(EARLIEST.timestamp()), int(LATEST.timestamp())).map(
    lambda second: datetime.fromtimestamp(second, UTC)
)


@given(MOMENTS, st.sampled_from([None, *CLOCKS]), st.sampled_from(ZONES))
def test_dates_follow_each_other(received: datetime, regulation: str | None, zone: ZoneInfo) -> None:
    dates = [received, ack_due_at(received, regulation, zone), due_at(received, regulation, zone),
             latest_due_at(received, regulation, zone)]  # fmt: skip
    known = [date for date in dates if date is not None]
    assert all(earlier < later for earlier, later in pairwise(known))


@given(MOMENTS, st.sampled_from(ZONES))
def test_a_gdpr_answer_is_never_due_on_a_weekend(received: datetime, zone: ZoneInfo) -> None:
    assert due_at(received, "gdpr", zone).astimezone(zone).weekday() < 5


@pytest.mark.parametrize("received", [EARLIEST, LATEST])
@pytest.mark.parametrize("zone", ZONES)
def test_there_is_room_at_the_ends_of_time(received: datetime, zone: ZoneInfo) -> None:
    for regulation in (None, *CLOCKS):
        latest_due_at(received, regulation, zone)
        ack_due_at(received, regulation, zone)
