"""When quiet hours are over, by the clock on the wall: also where that is put forward or back, or in several zones."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from service.domain.quiet_hours import LONGEST, Day, Quiet, QuietHours, is_quiet, next_start

BERLIN = "Europe/Berlin"
WORKDAYS = ("mon", "tue", "wed", "thu", "fri")


def window(from_: str, to: str, zone: str = "UTC", days: Sequence[str] = tuple(Day)) -> QuietHours:
    return QuietHours.model_validate({"from": from_, "to": to, "zone": zone, "days": tuple(days)})


def local(text: str, zone: str = "UTC", fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold)


def validated(*windows: QuietHours) -> tuple[QuietHours, ...]:
    return TypeAdapter(Quiet).validate_python(windows)


class TestOneWindow:
    @pytest.mark.parametrize(
        ("moment", "start"),
        [
            ("2026-03-02 07:59:59", "2026-03-02 07:59:59"),
            ("2026-03-02 08:00:00", "2026-03-02 20:00:00"),
            ("2026-03-02 19:59:59", "2026-03-02 20:00:00"),
            ("2026-03-02 20:00:00", "2026-03-02 20:00:00"),
        ],
    )
    def test_it_ends_before_its_last_moment(self, moment: str, start: str) -> None:
        assert next_start(local(moment, BERLIN), [window("08:00", "20:00", BERLIN)]) == local(start, BERLIN)

    @pytest.mark.parametrize(
        ("moment", "start"),
        [("2026-03-06 23:00", "2026-03-07 06:00"), ("2026-03-07 05:00", "2026-03-07 06:00")],
    )
    def test_one_over_midnight_belongs_to_the_day_on_which_it_begins(self, moment: str, start: str) -> None:
        assert next_start(local(moment), [window("22:00", "06:00", days=["fri"])]) == local(start)
        assert next_start(local(moment), [window("22:00", "06:00", days=["sat"])]) == local(moment)

    def test_the_same_time_twice_is_a_whole_day(self) -> None:
        weekend = [window("00:00", "00:00", BERLIN, ["sat", "sun"])]
        assert next_start(local("2026-03-07 12:00", BERLIN), weekend) == local("2026-03-09 00:00", BERLIN)

    def test_other_days_are_not_quiet(self) -> None:
        sunday = local("2026-03-08 12:00")
        assert next_start(sunday, [window("08:00", "20:00", days=WORKDAYS)]) == sunday


class TestSeveral:
    def test_they_follow_on_each_other_across_zones(self) -> None:
        quiet = [window("08:00", "18:00", BERLIN), window("09:00", "17:00", "America/New_York")]
        assert next_start(local("2026-03-02 12:00", BERLIN), quiet) == local("2026-03-02 17:00", "America/New_York")

    def test_none_hold_nothing_back(self) -> None:
        assert next_start(local("2026-03-02 12:00"), []) == local("2026-03-02 12:00")


class TestClocksThatChange:
    """Europe/Berlin: 2026-03-29 02:00 becomes 03:00, 2026-10-25 03:00 becomes 02:00. Santiago changes at midnight."""

    def test_a_night_is_an_hour_shorter_or_longer(self) -> None:
        night = [window("22:00", "06:00", BERLIN)]
        for evening, hours in (("2026-03-28 22:00", 7), ("2026-10-24 22:00", 9), ("2026-06-01 22:00", 8)):
            begin = local(evening, BERLIN).astimezone(UTC)
            assert next_start(begin, night) - begin == timedelta(hours=hours)

    def test_a_skipped_end_counts_as_if_the_clock_had_gone_on(self) -> None:
        quiet = [window("01:00", "02:30", BERLIN)]
        assert next_start(local("2026-03-29 01:30", BERLIN), quiet) == local("2026-03-29 03:30", BERLIN)

    def test_so_does_a_window_that_is_skipped_as_a_whole(self) -> None:
        quiet = [window("02:10", "02:50", BERLIN)]
        assert not is_quiet(local("2026-03-29 03:09", BERLIN), quiet)
        assert next_start(local("2026-03-29 03:10", BERLIN), quiet) == local("2026-03-29 03:50", BERLIN)

    def test_of_times_shown_twice_it_takes_the_first_to_begin_and_the_second_to_end(self) -> None:
        quiet = [window("02:15", "02:30", BERLIN)]
        first, second = local("2026-10-25 02:15", BERLIN), local("2026-10-25 02:30", BERLIN, fold=1)
        assert not is_quiet(first.astimezone(UTC) - timedelta(seconds=1), quiet)
        assert next_start(first, quiet) == second.astimezone(UTC)

    @pytest.mark.parametrize("day", ["2026-04-05", "2026-09-06"])
    def test_a_whole_day_ends_at_midnight_even_where_that_is_skipped_or_shown_twice(self, day: str) -> None:
        noon = local(f"{day} 12:00", "America/Santiago")
        before = [window("00:00", "00:00", "America/Santiago", [tuple(Day)[(noon.weekday() - 1) % 7]])]
        end = next_start(noon - timedelta(days=1), before)
        assert end.astimezone(ZoneInfo("America/Santiago")).date() == noon.date()
        assert not is_quiet(end, before)
        assert is_quiet(end - timedelta(seconds=1), before)


class TestRefused:
    @pytest.mark.parametrize(
        "windows",
        [
            [window("00:00", "00:00")],
            [window("00:00", "12:00"), window("12:00", "00:00")],
            [window("20:00", "08:00", BERLIN), window("07:00", "21:00", BERLIN)],
            [window("00:00", "00:00", days=["sat", "sun"]), window("06:00", "06:00", days=WORKDAYS),
             window("00:00", "06:00", days=["mon"])],
            # Nine hours lie between the zones, but for some weeks in spring and in autumn.
            [window("00:00", "12:00", "America/Los_Angeles"), window("21:00", "09:00", BERLIN)],
        ],
    )  # fmt: skip
    def test_what_leaves_no_time_in_a_week(self, windows: list[QuietHours]) -> None:
        with pytest.raises(ValidationError, match="leave no time in a week"):
            validated(*windows)

    def test_a_minute_a_week_is_enough(self) -> None:
        quiet = validated(window("00:00", "00:00", days=[*WORKDAYS, "sat"]), window("00:01", "00:00", days=["sun"]))
        assert next_start(local("2026-03-02 00:00"), quiet) == local("2026-03-08 00:00")

    @pytest.mark.parametrize(
        "wrong",
        [
            {"from": "8:00"}, {"from": "24:00"}, {"to": "08:60"}, {"to": "08:00:00"}, {"zone": "Europe/Nowhere"},
            {"zone": "Europe"}, {"zone": "../etc/passwd"}, {"zone": "/usr/share/zoneinfo/UTC"}, {"zone": ""},
            {"days": []}, {"days": ["monday"]}, {"until": "9"},
        ],
    )  # fmt: skip
    def test_what_is_no_window(self, wrong: dict[str, object]) -> None:
        with pytest.raises(ValidationError):
            QuietHours.model_validate({"from": "08:00", "to": "20:00", "zone": "UTC", **wrong})


WALL = st.builds("{:02}:{:02}".format, st.integers(0, 23), st.integers(0, 59))
ZONES = st.sampled_from(["UTC", BERLIN, "America/New_York", "Australia/Lord_Howe", "America/Santiago", "Asia/Kolkata"])
DAYS = st.sets(st.sampled_from(tuple(Day)), min_size=1).map(sorted)
WINDOWS = st.lists(st.builds(window, WALL, WALL, ZONES, DAYS), max_size=5)
MOMENTS = st.integers(0, 3 * 366 * 86_400).map(lambda s: datetime(2025, 1, 1, tzinfo=UTC) + timedelta(seconds=s))


def shown_in(quiet: QuietHours, moment: datetime) -> bool:
    """Whether the clock on the wall shows a time of the window, worked out without any instant."""
    shown = moment.astimezone(ZoneInfo(quiet.zone))
    now, today = f"{shown:%H:%M}", tuple(Day)[shown.weekday()]
    yesterday = tuple(Day)[shown.weekday() - 1]
    if quiet.from_ < quiet.to:
        return today in quiet.days and quiet.from_ <= now < quiet.to
    return (today in quiet.days and now >= quiet.from_) or (yesterday in quiet.days and now < quiet.to)


class TestProperties:
    @given(moment=MOMENTS, windows=WINDOWS)
    @settings(max_examples=100, deadline=None)
    def test_the_start_is_never_quiet_and_everything_before_it_is(
        self, moment: datetime, windows: list[QuietHours]
    ) -> None:
        try:
            quiet = validated(*windows)
        except ValidationError:
            assume(False)
        start = next_start(moment, quiet)
        assert moment <= start < moment + LONGEST
        assert not is_quiet(start, quiet)
        for step in range(40):
            assert start == moment or is_quiet(moment + (start - moment) * step / 40, quiet)

    @given(moment=MOMENTS, quiet=st.builds(window, WALL, WALL, ZONES, DAYS))
    @settings(max_examples=300, deadline=None)
    def test_it_is_quiet_when_the_clock_says_so(self, moment: datetime, quiet: QuietHours) -> None:
        """On all days but those around a change of the clock."""
        offsets = {(moment + timedelta(days=d)).astimezone(ZoneInfo(quiet.zone)).utcoffset() for d in range(-3, 4)}
        assume(len(offsets) == 1)
        assert is_quiet(moment, [quiet]) is shown_in(quiet, moment)
