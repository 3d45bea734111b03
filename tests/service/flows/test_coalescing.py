"""Requests that come within a window share a run, and urgent ones wait for none."""

from collections.abc import Callable

import pytest

from service.domain.adapters import Strategy
from service.domain.engine import EngineFailure, FailureClass
from service.domain.runs import Lane, answering, lane_of
from service.domain.scheduling import Wait
from service.domain.states import RequestState
from service.flows.decide import approve, cancel, hold, release
from service.flows.fail import fail
from tests.support.house import ACTOR, House, people, remove
from tests.support.scheduling import (
    EVENING,
    NOON,
    QUIET,
    Clock,
    after,
    can_claim,
    change,
    heard,
    queued,
)


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
