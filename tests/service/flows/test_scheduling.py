"""Runs are hinted at, planned for and compacted by count as their line's policy says."""

import pytest

from service.domain.compaction import CompactionReason
from service.domain.runs import Lane
from service.domain.scheduling import Start, Wait
from service.flows.idle import others_wait
from service.flows.plan import plan
from service.flows.reconcile import reconcile
from service.flows.submit import Submission
from tests.support.house import House, people, remove
from tests.support.scheduling import EVENING, MORNING, NOON, QUIET, Clock, after, compact, heard, queued, rebuild


class TestHints:
    @pytest.fixture
    def line(self, house: House, clock: Clock) -> str:
        line = house.line("bot", people(20), quiet_hours=[QUIET])
        clock(NOON)
        house.submit(remove("p0-0"))
        heard(house)
        return line

    def test_the_reconciler_hints_again_only_at_what_should_have_begun(
        self, house: House, clock: Clock, line: str
    ) -> None:
        clock(after(NOON, hours=5))
        assert reconcile(house.store, house.blobs).lost_hints == 0
        clock(after(EVENING, seconds=59))
        heard(house)
        assert reconcile(house.store, house.blobs).lost_hints == 0
        clock(after(EVENING, seconds=61))
        assert reconcile(house.store, house.blobs).lost_hints == 1
        assert heard(house) == [queued(house, line).id]

    def test_what_may_not_begin_keeps_nobody_from_other_work(self, house: House, clock: Clock, line: str) -> None:
        with house.store.read() as unit:
            assert not others_wait(unit, "default")
        clock(EVENING)
        with house.store.read() as unit:
            assert others_wait(unit, "default")

    def test_only_what_is_due_counts_as_lag(self, house: House, clock: Clock, line: str) -> None:
        with house.store.read() as unit:
            assert unit.runs.outbox_lag(unit.now) == 0
        clock(EVENING)
        with house.store.read() as unit:
            assert unit.runs.outbox_lag(unit.now) == 1


class TestPlan:
    def planned(self, house: House, instance: str, **fields: object) -> Start | None:
        command = Submission(operations=(remove(instance),), **fields)  # type: ignore[arg-type]
        with house.store.read() as unit:
            (line,) = plan(unit, house.vault, command).lines
            return line.start

    def test_it_tells_when_a_run_would_begin(self, house: House, clock: Clock) -> None:
        house.line("bot", people(6), coalesce_s=60)
        assert self.planned(house, "p0-0") == Start(after(seconds=60), Wait.window)
        assert self.planned(house, "p0-0", urgent=True) == Start(MORNING)
        house.submit(remove("p1-0"))
        clock(after(seconds=20))
        assert self.planned(house, "p0-0") == Start(after(seconds=60), Wait.window)

    def test_at_once_without_window_and_quiet_hours(self, house: House, clock: Clock) -> None:
        house.line("bot", people(6))
        assert self.planned(house, "p0-0") == Start(MORNING)

    def test_unknown_where_somebody_has_to_approve(self, house: House, clock: Clock) -> None:
        house.line("bot", people(6), require_approval=True)
        assert self.planned(house, "p0-0") is None


class TestCompactionByCount:
    def test_a_ledger_of_so_many_instances_is_compacted_at_once(self, house: House, clock: Clock) -> None:
        line = house.line("bot", people(8), rebuild_after_count=3)
        house.submit(remove("p0-0", "p0-1"))
        house.serve(line)
        with house.store.read() as unit:
            row = unit.lines.get(line)
            assert (row.rebuild_due_at, row.rebuild_because) == (after(days=1), CompactionReason.age)
        house.submit(remove("p1-0"))
        house.serve(line)
        assert compact(house) == 1
        run = queued(house, line, Lane.compact)
        assert run.because is CompactionReason.length
        with house.store.read() as unit:
            (event,) = [event for event in unit.feed.events(0, limit=500) if event.type == "ledger.due"]
            assert (event.adapter, event.run_id, event.data) == ("bot", run.id, {"because": "count"})
        house.rebuild(house.claim_queued(line, Lane.compact))
        with house.store.read() as unit:
            row = unit.lines.get(line)
            assert (row.rebuild_due_at, row.rebuild_because) == (None, None)

    def test_what_an_anchor_has_taken_over_counts_no_more(self, house: House, clock: Clock) -> None:
        line = house.line("bot", people(8), rebuild_after_count=2)
        house.submit(remove("p0-0"))
        house.serve(line)
        rebuild(house)
        house.rebuild(house.claim_queued(line, Lane.compact))
        house.submit(remove("p1-0"))
        house.serve(line)
        assert compact(house) == 0
