"""Folds make room for other work and go on from their checkpoint, and are tried again where they failed."""

from datetime import timedelta
from pathlib import Path

import pytest

from service.domain.engine import EngineFailure, FailureClass, OutOfFoldJob
from service.domain.runs import Lane
from service.domain.states import RunState
from service.flows.claim import MAX_ATTEMPTS, Claim
from service.flows.fail import fail
from service.flows.leave_out import MAX_FAILURES, PAUSE_AFTER_FAILURE
from tests.support.folds import (
    anchor_of,
    claim_fold,
    is_readable,
    job_of,
    line_with_folds,
    makes_room,
    rebuild,
    repair,
    run_of,
    yield_to_others,
)
from tests.support.house import House, people, remove

pytestmark = pytest.mark.slow


@pytest.fixture
def line(house: House) -> str:
    return line_with_folds(house)


def unsent(house: House) -> list[str]:
    with house.store.read() as unit:
        return [row.run_id for row in unit.runs.unsent(100, unit.now)]


def all_hints_sent(house: House) -> None:
    with house.store.write() as unit:
        unit.runs.sent([row.id for row in unit.runs.unsent(100, unit.now)], unit.now)


class TestMakeRoom:
    def test_to_other_work_and_going_on_from_the_checkpoint(self, house: House, line: str) -> None:
        claimed = claim_fold(house, line)
        assert not makes_room(house, claimed)
        other = house.line("other", people(6))
        house.submit(remove("p0-0"), adapters=["other"])
        assert makes_room(house, claimed)
        checkpoint = yield_to_others(house, claimed)
        house.serve(other)
        again = house.claim_queued(line, Lane.idle)
        assert (again.run_id, again.attempt, again.fence) == (claimed.run_id, 1, 2)
        job = job_of(house, again)
        assert isinstance(job, OutOfFoldJob)
        assert job.resume == Path(checkpoint)

    def test_every_checkpoint_is_shredded_by_the_next_and_the_last_one_with_its_run(
        self, house: House, line: str
    ) -> None:
        first = yield_to_others(house, claim_fold(house, line))
        assert is_readable(house, first)
        second = yield_to_others(house, house.claim_queued(line, Lane.idle))
        assert (is_readable(house, first), is_readable(house, second)) == (False, True)
        house.keep_fold(house.claim_queued(line, Lane.idle))
        repair(house)
        assert not is_readable(house, second)
        assert not house.blobs.exists_tree(second)

    def test_it_is_hinted_at_again_once_a_worker_is_idle(self, house: House, line: str) -> None:
        claimed = claim_fold(house, line)
        other = house.line("other", people(6))
        house.submit(remove("p0-0"), adapters=["other"])
        yield_to_others(house, claimed)
        all_hints_sent(house)
        repair(house, hint_timeout_s=0)
        answering = house.claim_queued(other)
        repair(house, hint_timeout_s=0)
        assert claimed.run_id not in unsent(house)
        house.answer(answering)
        assert claimed.run_id in unsent(house), "whoever ends other work says so"
        all_hints_sent(house)
        repair(house, hint_timeout_s=0)
        assert claimed.run_id in unsent(house), "and the reconciler, should Redis have lost it"

    def test_to_a_request_for_its_own_line_and_for_good(self, house: House, line: str) -> None:
        claimed = claim_fold(house, line)
        house.submit(remove("p0-0"))
        house.claim_queued(line)
        assert makes_room(house, claimed), "another worker answers already, but nobody wants the fold"
        checkpoint = yield_to_others(house, claimed)
        assert run_of(house, claimed).state is RunState.canceled
        repair(house)
        assert not house.blobs.exists_tree(checkpoint)

    def test_a_queued_one_is_canceled_and_its_checkpoint_deleted(self, house: House, line: str) -> None:
        claimed = claim_fold(house, line)
        checkpoint = yield_to_others(house, claimed)
        house.submit(remove("p0-0"))
        assert house.claim(claimed.run_id) is None
        repair(house)
        assert run_of(house, claimed).state is RunState.canceled
        assert not house.blobs.exists_tree(checkpoint)
        assert not is_readable(house, checkpoint)

    def test_a_checkpoint_does_not_outlive_its_anchor(self, house: House, line: str) -> None:
        """Even if the reconciler slept through request, answer and rebuild: the next anchor's folds start afresh."""
        claimed = claim_fold(house, line)
        checkpoint = yield_to_others(house, claimed)
        house.submit(remove("p0-0"))
        house.serve(line)
        rebuild(house, line)
        assert not is_readable(house, checkpoint), "its key goes with the anchor's, not with the next sweep"
        assert house.claim(claimed.run_id) is None
        assert repair(house).idle == 1
        assert not house.blobs.exists_tree(checkpoint)
        assert house.claim_queued(line, Lane.idle).run_id != claimed.run_id


class TestFailure:
    def fail(self, house: House, claimed: Claim, kind: FailureClass) -> None:
        with house.store.write() as unit:
            fail(unit, claimed, EngineFailure(kind, "engine-error", "The engine failed."))

    def age(self, house: House, claimed: Claim) -> None:
        """The failure was a while ago."""
        with house.store.write() as unit:
            run = unit.runs.lock(claimed.run_id)
            assert run is not None
            assert run.finished_at is not None
            run.finished_at -= PAUSE_AFTER_FAILURE + timedelta(seconds=1)

    def test_it_is_tried_again_like_every_run_and_then_rests(self, house: House, line: str) -> None:
        repair(house)
        for _ in range(MAX_ATTEMPTS):
            self.fail(house, house.claim_queued(line, Lane.idle), FailureClass.transient)
        assert house.queued_run(line, Lane.idle) is None
        assert repair(house).idle == 0

    def test_after_a_while_again_but_not_for_ever(self, house: House, line: str) -> None:
        for _ in range(MAX_FAILURES):
            claimed = claim_fold(house, line)
            self.fail(house, claimed, FailureClass.permanent)
            assert repair(house).idle == 0
            self.age(house, claimed)
        assert repair(house).idle == 0
        rebuild(house, line)
        assert repair(house).idle == 1

    def test_nothing_but_the_run_is_touched(self, house: House, line: str) -> None:
        before = anchor_of(house, line)
        claimed = claim_fold(house, line)
        self.fail(house, claimed, FailureClass.permanent)
        after = anchor_of(house, line)
        assert (after.state, after.capabilities) == (before.state, before.capabilities)
        assert run_of(house, claimed).failure == {
            "code": "engine-error",
            "detail": "The engine failed.",
            "class": "permanent",
        }

    def test_one_that_fails_after_a_request_came_in_is_not_tried_again(self, house: House, line: str) -> None:
        claimed = claim_fold(house, line)
        house.submit(remove("p0-0"))
        self.fail(house, claimed, FailureClass.transient)
        assert run_of(house, claimed).state is RunState.canceled

    def test_a_stale_checkpoint_is_dropped(self, house: House, line: str) -> None:
        claimed = claim_fold(house, line)
        yield_to_others(house, claimed)
        again = house.claim_queued(line, Lane.idle)
        with house.store.write() as unit:
            fail(unit, again, EngineFailure(FailureClass.permanent, "checkpoint", "Of another run."))
        assert run_of(house, claimed).checkpoint is None
        assert house.claim(claimed.run_id) is not None
