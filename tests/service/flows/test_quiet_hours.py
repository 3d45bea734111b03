"""In quiet hours nothing begins that can wait, and a change of them holds for what waits already."""

from datetime import timedelta

import pytest

from service.domain.compaction import LEAD, CompactionReason
from service.domain.runs import Lane
from service.domain.scheduling import Wait
from service.domain.states import RequestState
from service.flows.claim import waiting_for
from service.flows.decide import approve
from service.flows.fail import fail
from service.flows.leave_out import must_make_room, queue_idle
from service.flows.reconcile import reconcile
from tests.support.house import House, people, remove
from tests.support.scheduling import (
    EVENING,
    NOON,
    QUIET,
    TRANSIENT,
    Clock,
    after,
    can_claim,
    change,
    compact,
    heard,
    queued,
    rebuild,
)


class TestQuietHours:
    @pytest.fixture
    def line(self, house: House, clock: Clock) -> str:
        line = house.line("bot", people(20), quiet_hours=[QUIET], rebuild_after_s=3600)
        heard(house)
        return line

    def serve_early(self, house: House) -> None:
        """A request that was answered before they began."""
        house.submit(remove("p0-0"))
        with house.store.read() as unit:
            line = unit.lines.by_name("bot")
            assert line is not None
        house.serve(line.id)
        heard(house)

    def test_a_scheduled_rebuild_waits_for_their_end_and_says_why(self, house: House, clock: Clock, line: str) -> None:
        self.serve_early(house)
        clock(NOON)
        assert compact(house) == 1
        run = queued(house, line, Lane.compact)
        assert (run.not_before, run.waits_for, run.because) == (EVENING, Wait.quiet_hours, CompactionReason.age)
        with house.store.read() as unit:
            assert waiting_for(unit, run, {"default"}) == "quiet_hours"
        assert heard(house) == []
        assert not can_claim(house, run)
        assert compact(house) == 0
        clock(EVENING)
        assert heard(house) == [run.id]
        house.rebuild(house.claim_queued(line, Lane.compact))

    def test_one_that_somebody_asks_for_does_not(self, house: House, clock: Clock, line: str) -> None:
        self.serve_early(house)
        clock(NOON)
        run_id = rebuild(house)
        assert heard(house) == [run_id]
        assert house.claim(run_id) is not None

    def test_asking_for_it_lets_the_one_that_waits_begin(self, house: House, clock: Clock, line: str) -> None:
        self.serve_early(house)
        clock(NOON)
        compact(house)
        run_id = rebuild(house)
        assert run_id == queued(house, line, Lane.compact).id
        assert heard(house) == [run_id]
        assert house.claim(run_id) is not None

    def test_shredding_in_time_goes_before(self, house: House, clock: Clock, line: str) -> None:
        change(house, shred_within_s=7 * 3600)
        self.serve_early(house)
        begins = after(hours=7) - timedelta(hours=7) / 10
        clock(NOON)
        compact(house)
        run = queued(house, line, Lane.compact)
        assert run.not_before == begins
        clock(begins)
        assert can_claim(house, run)

    def test_so_does_a_collapse(self, house: House, clock: Clock) -> None:
        line = house.line("imported", people(6), recipe=None, quiet_hours=[QUIET])
        request = house.submit(remove("p0-0"), adapters=["imported"])
        house.serve(line)
        clock(house.targets(request)[0].shred_by.replace(hour=12) - timedelta(days=1))
        assert compact(house) == 0
        clock(house.targets(request)[0].shred_by - LEAD)
        assert compact(house) == 1
        assert can_claim(house, queued(house, line, Lane.compact))

    def test_trainings_begin_when_they_are_asked_for(self, house: House, clock: Clock) -> None:
        clock(NOON)
        house.line("other", people(4), quiet_hours=[QUIET])

    def test_what_has_begun_goes_on(self, house: House, clock: Clock, line: str) -> None:
        house.submit(remove("p0-0"))
        claimed = house.claim_queued(line)
        clock(NOON)
        with house.store.write() as unit:
            fail(unit, claimed, TRANSIENT)
        clock(after(NOON, seconds=5))
        assert claimed.run_id in heard(house)
        assert house.claim(claimed.run_id) is not None

    def test_a_worker_that_comes_too_late_waits_for_the_next_pause(
        self, house: House, clock: Clock, line: str
    ) -> None:
        house.submit(remove("p0-0"))
        run = queued(house, line)
        assert heard(house) == [run.id]
        clock(NOON)
        assert not can_claim(house, run)
        assert (queued(house, line).not_before, heard(house)) == (EVENING, [])
        clock(EVENING)
        assert heard(house) == [run.id]
        assert can_claim(house, run)

    def test_an_update_that_failed_is_rebuilt_after_them(self, house: House, clock: Clock, line: str) -> None:
        house.submit(remove("p0-0"))
        claimed = house.claim_queued(line)
        clock(NOON)
        house.answer(claimed, passed=False)
        assert queued(house, line, Lane.compact).not_before == EVENING

    def test_a_retired_line_is_answered_in_them(self, house: House, clock: Clock, line: str) -> None:
        request = house.submit(*(remove(f"p{n}-{fact}") for n in range(20) for fact in range(2)))
        with house.store.write() as unit:
            approve(unit, request, actor="key_other")
        assert not can_claim(house, queued(house, line, Lane.compact))
        assert house.request(request).state is RequestState.succeeded


class TestPolicyChange:
    def test_without_quiet_hours_what_waits_begins(self, house: House, clock: Clock) -> None:
        line = house.line("bot", people(6), quiet_hours=[QUIET])
        clock(NOON)
        house.submit(remove("p0-0"))
        heard(house)
        change(house, quiet_hours=[])
        run = queued(house, line)
        assert heard(house) == [run.id]
        assert run.not_before is None
        assert can_claim(house, run)

    def test_new_ones_hold_back_what_no_worker_has_taken_yet(self, house: House, clock: Clock) -> None:
        line = house.line("bot", people(6))
        clock(NOON)
        house.submit(remove("p0-0"))
        heard(house)
        change(house, quiet_hours=[QUIET])
        run = queued(house, line)
        assert run.not_before == EVENING
        assert not can_claim(house, run)
        assert heard(house) == []

    def test_a_longer_window_is_kept_though_the_hint_was_given_for_the_shorter(
        self, house: House, clock: Clock
    ) -> None:
        line = house.line("bot", people(6), coalesce_s=10)
        house.submit(remove("p0-0"))
        change(house, coalesce_s=20)
        clock(after(seconds=10))
        assert not can_claim(house, queued(house, line))
        clock(after(seconds=20))
        assert can_claim(house, queued(house, line))


class TestIdleWork:
    @pytest.fixture
    def line(self, house: House, clock: Clock) -> str:
        line = house.line("bot", people(6), out_of_fold=True, quiet_hours=[QUIET])
        house.show_worker()
        return line

    def test_it_is_queued_outside_of_them_only(self, house: House, clock: Clock, line: str) -> None:
        clock(NOON)
        house.show_worker()
        with house.store.write() as unit:
            assert queue_idle(unit) == 0
        clock(EVENING)
        house.show_worker()
        with house.store.write() as unit:
            assert queue_idle(unit) == 1

    def test_it_stops_when_they_begin_and_waits_for_their_end(self, house: House, clock: Clock, line: str) -> None:
        with house.store.write() as unit:
            queue_idle(unit)
        claimed = house.claim_queued(line, Lane.idle)
        with house.store.read() as unit:
            assert not must_make_room(unit, claimed)
        clock(NOON)
        with house.store.write() as unit:
            assert must_make_room(unit, claimed)
            fail(unit, claimed, TRANSIENT)
        house.show_worker()
        run = queued(house, line, Lane.idle)
        assert not can_claim(house, run)
        with house.store.read() as unit:
            assert waiting_for(unit, run, {"default"}) == "quiet_hours"
        clock(after(NOON, minutes=5))
        house.show_worker()
        assert reconcile(house.store, house.blobs).lost_hints == 0
        clock(EVENING)
        house.show_worker()
        assert reconcile(house.store, house.blobs).lost_hints == 1
        assert can_claim(house, run)
