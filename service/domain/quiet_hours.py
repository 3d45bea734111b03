"""Daily windows in which a line is left alone, by the clock on the wall.

A time that the clock skips in spring counts as if it had not been put forward. Of one that it shows twice in autumn,
a window begins with the first and ends with the second.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import cache, lru_cache
from typing import Annotated
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints

from service.domain.frozen import Frozen

# No policy that leaves time in every week keeps anything waiting for so long.
LONGEST = timedelta(days=15)
_WEEK = timedelta(days=7)
# A year whose weeks are looked at to tell whether a policy leaves time in every week.
_YEAR = tuple(datetime(2026, 1, 1, tzinfo=UTC) + week * _WEEK for week in range(53))


class Day(StrEnum):
    """A day of the week, in the order of `date.weekday`."""

    monday = "mon"
    tuesday = "tue"
    wednesday = "wed"
    thursday = "thu"
    friday = "fri"
    saturday = "sat"
    sunday = "sun"


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _known_zone(name: str) -> str:
    if name not in _zones():
        raise ValueError("there is no such time zone; name one of the IANA database, such as Europe/Berlin")
    return name


WallTime = Annotated[str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
Zone = Annotated[str, StringConstraints(max_length=64), AfterValidator(_known_zone)]


class QuietHours(Frozen):
    """A window of every day, or of some. One that ends at or before its start ends on the next day."""

    model_config = ConfigDict(serialize_by_alias=True)

    from_: WallTime = Field(alias="from", description="When it begins, on the clock of its zone.", examples=["08:00"])
    to: WallTime = Field(description="When it is over; at or before `from`: on the next day.", examples=["20:00"])
    zone: Zone = Field(description="A time zone of the IANA database.", examples=["Europe/Berlin"])
    days: tuple[Day, ...] = Field(
        default=tuple(Day), min_length=1, max_length=7, description="The days on which it begins."
    )

    def ends(self, moment: datetime) -> datetime | None:
        """When the window that holds this moment is over, in UTC; None if none does."""
        today = moment.astimezone(ZoneInfo(self.zone)).date()
        for day in (today - timedelta(days=1), today):
            start, end = self._on(day)
            if tuple(Day)[day.weekday()] in self.days and start <= moment < end:
                return end
        return None

    def _on(self, day: date) -> tuple[datetime, datetime]:
        start, end = time.fromisoformat(self.from_), time.fromisoformat(self.to)
        last = day if start < end else day + timedelta(days=1)
        first, *_ = self._moments(day, start)
        return first, max(self._moments(last, end))

    def _moments(self, day: date, at: time) -> tuple[datetime, datetime]:
        """When the clock shows this, before and after it was put back."""
        shown = datetime.combine(day, at, tzinfo=ZoneInfo(self.zone))
        return shown.astimezone(UTC), shown.replace(fold=1).astimezone(UTC)


def next_start(moment: datetime, quiet: Sequence[QuietHours]) -> datetime:
    """The first moment, from this one on, that lies in none of the windows."""
    latest = moment + LONGEST
    while moment < latest:
        ends = [end for window in quiet if (end := window.ends(moment)) is not None]
        if not ends:
            return moment
        moment = max(ends)
    return moment


def is_quiet(moment: datetime, quiet: Sequence[QuietHours]) -> bool:
    return any(window.ends(moment) is not None for window in quiet)


@lru_cache(maxsize=256)
def _leaves_time(quiet: tuple[QuietHours, ...]) -> bool:
    return all(next_start(week, quiet) < week + _WEEK for week in _YEAR)


def _with_time_left(quiet: tuple[QuietHours, ...]) -> tuple[QuietHours, ...]:
    if not _leaves_time(quiet):
        raise ValueError("together they leave no time in a week for anything to begin; shorten one or name fewer days")
    return quiet


Quiet = Annotated[tuple[QuietHours, ...], Field(max_length=20), AfterValidator(_with_time_left)]
