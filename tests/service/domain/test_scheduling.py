"""When a run may begin: the window, then quiet hours, and what overrides both."""

from datetime import UTC, datetime, timedelta

import pytest

from service.domain.adapters import Policy
from service.domain.scheduling import Start, Wait, Waiting, start

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
MONTH = timedelta(days=30)
EVENING = NOON.replace(hour=20)
DAYTIME = {"from": "08:00", "to": "20:00", "zone": "UTC"}


def policy(**settings: object) -> Policy:
    return Policy.model_validate(settings)


def after(**time: float) -> datetime:
    return NOON + timedelta(**time)


def waits(since: datetime = NOON, due: datetime = NOON + MONTH, *, urgent: bool = False) -> Waiting:
    return Waiting(since, due, urgent)


class TestWindow:
    def test_without_one_a_run_begins_at_once(self) -> None:
        assert start(policy(), now=NOON, waiting=[waits()]) == Start(NOON)

    def test_it_opens_with_the_first_request(self) -> None:
        found = start(policy(coalesce_s=60), now=after(seconds=20), waiting=[waits(after(seconds=20)), waits()])
        assert found == Start(after(seconds=60), Wait.window)

    def test_it_closes(self) -> None:
        assert start(policy(coalesce_s=60), now=after(seconds=60), waiting=[waits()]) == Start(after(seconds=60))

    def test_nothing_waits_for_others_that_nobody_asked_for(self) -> None:
        assert start(policy(coalesce_s=60), now=NOON, waiting=[]) == Start(NOON)


class TestQuietHours:
    def test_they_hold_back_whatever_is_there(self) -> None:
        assert start(policy(quiet_hours=[DAYTIME]), now=NOON, waiting=[]) == Start(EVENING, Wait.quiet_hours)

    def test_they_come_after_the_window(self) -> None:
        rules = policy(coalesce_s=3600, quiet_hours=[DAYTIME])
        early = NOON.replace(hour=7, minute=30)
        assert start(rules, now=early, waiting=[waits(early)]) == Start(EVENING, Wait.quiet_hours)
        late = NOON.replace(hour=19, minute=30)
        assert start(rules, now=late, waiting=[waits(late)]) == Start(NOON.replace(hour=20, minute=30), Wait.window)

    def test_a_run_that_found_no_worker_in_time_waits_for_the_next_pause(self) -> None:
        rules = policy(quiet_hours=[DAYTIME])
        assert start(rules, now=NOON, waiting=[waits(NOON - timedelta(days=1))]) == Start(EVENING, Wait.quiet_hours)

    def test_a_scheduled_rebuild_waits_from_its_date_on(self) -> None:
        rules = policy(quiet_hours=[DAYTIME])
        morning = NOON.replace(hour=3)
        for scheduled, expected in ((NOON, EVENING), (morning, EVENING)):
            assert start(rules, now=NOON, waiting=[], scheduled=scheduled) == Start(expected, Wait.quiet_hours)


class TestWhatCannotWait:
    def test_an_urgent_request_takes_the_others_along(self) -> None:
        rules = policy(coalesce_s=60, quiet_hours=[DAYTIME])
        assert start(rules, now=NOON, waiting=[waits(), waits(urgent=True)]) == Start(NOON)

    @pytest.mark.parametrize(
        ("due", "estimated_s", "begins"),
        [
            (after(days=30), None, EVENING),
            # Two hours before: one for the answer, one for the rebuild after it.
            (EVENING + timedelta(minutes=90), None, EVENING - timedelta(minutes=30)),
            (EVENING + timedelta(hours=6), 2.5 * 3600, EVENING - timedelta(hours=4)),
            (after(minutes=90), None, after(minutes=72)),
            (NOON, None, NOON),
            (NOON - timedelta(days=1), None, NOON),
        ],
    )
    def test_a_request_that_is_almost_due_is_urgent_by_itself(
        self, due: datetime, estimated_s: float | None, begins: datetime
    ) -> None:
        since = NOON - timedelta(days=5) if due > after(hours=2) else NOON
        found = start(policy(quiet_hours=[DAYTIME]), now=NOON, waiting=[waits(since, due)], estimated_s=estimated_s)
        assert found.at == begins
        assert found.waits_for is (None if begins == NOON else Wait.quiet_hours)

    def test_the_window_is_no_longer_than_a_due_date_allows(self) -> None:
        found = start(policy(coalesce_s=7200), now=NOON, waiting=[waits(due=after(hours=1))])
        assert found == Start(after(minutes=48), Wait.window)

    def test_shredding_in_time_beats_quiet_hours(self) -> None:
        rules = policy(quiet_hours=[DAYTIME])
        found = start(rules, now=NOON, waiting=[], scheduled=NOON, begin_by=after(hours=1))
        assert found == Start(after(hours=1), Wait.quiet_hours)
