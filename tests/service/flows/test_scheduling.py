"""Runs begin when their line's policy lets them: workers hear of them then, and cannot take them before."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from service.domain.adapters import Strategy
from service.domain.compaction import LEAD, CompactionReason
from service.domain.engine import EngineFailure, FailureClass
from service.domain.runs import Lane, answering, lane_of
from service.domain.scheduling import Start, Wait
from service.domain.states import RequestState
from service.flows.change_policy import update_policy
from service.flows.claim import waiting_for
from service.flows.compact import compact_due, rebuild_now
from service.flows.decide import approve, cancel, hold, release
from service.flows.fail import fail
from service.flows.idle import others_wait
from service.flows.leave_out import must_make_room, queue_idle
from service.flows.plan import plan
from service.flows.reconcile import reconcile
from service.flows.submit import Submission
from service.store.database import Unit
from service.store.tables import Run
from tests.support.house import ACTOR, House, people, remove

MORNING = datetime(2026, 3, 2, 6, tzinfo=UTC)
NOON, EVENING = MORNING.replace(hour=12), MORNING.replace(hour=20)
QUIET = {"from": "08:00", "to": "20:00", "zone": "UTC"}
TRANSIENT = EngineFailure(FailureClass.transient, "device-lost", "The device is gone.")

Clock = Callable[[datetime], None]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Sets the database's clock. It shows six in the morning at first."""

    def show(moment: datetime) -> None:
        monkeypatch.setattr(Unit, "now", property(lambda _: moment))

    show(MORNING)
    return show


def after(since: datetime = MORNING, **time: float) -> datetime:
    return since + timedelta(**time)


def queued(house: House, line: str, lane: Lane = Lane.answer) -> Run:
    with house.store.read() as unit:
        run = unit.runs.queued(line, lane)
        assert run is not None
        return run


def heard(house: House) -> list[str]:
    """The runs that the relay tells workers of now. It sends their hints."""
    with house.store.write() as unit:
        rows = unit.runs.unsent(100, unit.now)
        unit.runs.sent([row.id for row in rows], unit.now)
        return [row.run_id for row in rows]


def change(house: House, **policy: object) -> None:
    with house.store.write() as unit:
        update_policy(unit, "bot", policy, actor=ACTOR)


def compact(house: House) -> int:
    with house.store.write() as unit:
        return compact_due(unit)


def rebuild(house: House) -> str:
    with house.store.write() as unit:
        return rebuild_now(unit, "bot", actor=ACTOR).id


def can_claim(house: House, run: Run) -> bool:
    return house.claim(run.id) is not None


class TestWindow:
    @pytest.fixture
    def line(self, house: House, clock: Clock) -> str:
        line = house.line("bot", people(20), coalesce_s=60)
        heard(house)
        return line

    @pytest.mark.parametrize("strategy", [Strategy.influence, Strategy.rebuild])
    def test_requests_that_come_within_it_share_a_run_and_a_version(
        self, house: House, clock: Clock, line: str, strategy: Strategy
    ) -> None:
        lane = lane_of(answering(strategy))
        requests = []
        for number in range(5):
            clock(after(seconds=10 * number))
            requests.append(house.submit(remove(f"p{number}-0"), strategy=strategy))
        run = queued(house, line, lane)
        assert (run.not_before, run.waits_for) == (after(seconds=60), Wait.window)
        clock(after(seconds=59.9))
        assert heard(house) == []
        assert not can_claim(house, run)
        clock(after(seconds=60))
        assert heard(house) == [run.id]
        claimed = house.claim_queued(line, lane)
        if lane is Lane.answer:
            house.answer(claimed)
        else:
            house.rebuild(claimed)
        assert {house.request(one).state for one in requests} == {RequestState.succeeded}
        assert len({house.targets(one)[0].version_id for one in requests}) == 1
        assert heard(house) == []

    def test_a_request_that_comes_during_the_run_opens_the_next_one(
        self, house: House, clock: Clock, line: str
    ) -> None:
        house.submit(remove("p0-0"))
        clock(after(seconds=60))
        first = house.claim_queued(line)
        house.submit(remove("p1-0"))
        clock(after(seconds=70))
        house.answer(first)
        second = queued(house, line)
        assert second.not_before == after(seconds=120)
        assert not can_claim(house, second)
        clock(after(seconds=120))
        assert can_claim(house, second)

    def test_what_failed_together_does_not_wait_again(self, house: House, clock: Clock, line: str) -> None:
        for number in range(2):
            house.submit(remove(f"p{number}-0"))
        clock(after(seconds=60))
        claimed = house.claim_queued(line)
        with house.store.write() as unit:
            fail(unit, claimed, EngineFailure(FailureClass.permanent, "empty-completion", "Nothing is to be learnt."))
        assert can_claim(house, queued(house, line))

    def test_a_canceled_request_takes_its_window_with_it(self, house: House, clock: Clock, line: str) -> None:
        first = house.submit(remove("p0-0"))
        clock(after(seconds=30))
        house.submit(remove("p1-0"))
        with house.store.write() as unit:
            cancel(unit, first, actor=ACTOR)
        run = queued(house, line)
        clock(after(seconds=60))
        assert heard(house) == [run.id]
        assert not can_claim(house, run)
        assert queued(house, line).not_before == after(seconds=90)
        clock(after(seconds=90))
        assert heard(house) == [run.id]
        assert can_claim(house, run)

    @pytest.mark.parametrize("way", [cancel, hold])
    def test_a_rebuild_that_nobody_wants_any_more_does_not_begin(
        self, house: House, clock: Clock, line: str, way: Callable[..., object]
    ) -> None:
        request = house.submit(remove("p0-0"), strategy=Strategy.rebuild)
        with house.store.write() as unit:
            way(unit, request, actor=ACTOR, **({"reason": None} if way is hold else {}))
        clock(after(seconds=60))
        assert not can_claim(house, queued(house, line, Lane.compact))
        assert house.queued_run(line, Lane.compact) is None

    @pytest.mark.parametrize("way", ["approve", "release"])
    def test_it_runs_while_people_decide(self, house: House, clock: Clock, line: str, way: str) -> None:
        change(house, require_approval=way == "approve")
        request = house.submit(remove("p0-0"))
        with house.store.write() as unit:
            if way == "release":
                hold(unit, request, actor=ACTOR, reason=None)
        clock(after(seconds=61))
        with house.store.write() as unit:
            if way == "release":
                release(unit, request, actor=ACTOR)
            else:
                approve(unit, request, actor="key_other")
        assert heard(house)
        assert can_claim(house, queued(house, line))

    def test_a_due_date_closes_it(self, house: House, clock: Clock, line: str) -> None:
        house.submit(remove("p0-0"), due_at=after(seconds=50))
        assert queued(house, line).not_before == after(seconds=40)


class TestUrgent:
    @pytest.fixture
    def line(self, house: House, clock: Clock) -> str:
        line = house.line("bot", people(20), coalesce_s=60, quiet_hours=[QUIET])
        clock(NOON)
        heard(house)
        return line

    def test_it_waits_for_nothing_and_takes_along_what_waits(self, house: House, clock: Clock, line: str) -> None:
        patient = house.submit(remove("p0-0"))
        run = queued(house, line)
        assert (run.not_before, run.waits_for) == (EVENING, Wait.quiet_hours)
        assert heard(house) == []
        urgent = house.submit(remove("p1-0"), urgent=True)
        assert heard(house) == [run.id]
        assert queued(house, line).not_before is None
        house.serve(line)
        assert house.request(patient).state is house.request(urgent).state is RequestState.succeeded
        assert house.request(urgent).urgent

    def test_what_comes_after_it_neither_delays_nor_repeats_its_hint(self, house: House, line: str) -> None:
        house.submit(remove("p0-0"), urgent=True)
        house.submit(remove("p1-0"))
        assert heard(house) == [queued(house, line).id]
        assert can_claim(house, queued(house, line))

    def test_a_request_becomes_it_by_itself(self, house: House, clock: Clock, line: str) -> None:
        house.submit(remove("p0-0"), due_at=after(NOON, hours=1))
        run = queued(house, line)
        assert run.not_before == after(NOON, minutes=48)
        clock(after(NOON, minutes=48))
        assert heard(house) == [run.id]
        assert can_claim(house, run)

    def test_one_that_was_called_off_hurries_nobody(self, house: House, clock: Clock, line: str) -> None:
        house.submit(remove("p0-0"))
        urgent = house.submit(remove("p1-0"), urgent=True)
        with house.store.write() as unit:
            cancel(unit, urgent, actor=ACTOR)
        run = queued(house, line)
        assert not can_claim(house, run)
        clock(EVENING)
        assert run.id in heard(house)
        assert can_claim(house, run)


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
