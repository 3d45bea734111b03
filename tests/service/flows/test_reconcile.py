"""Repairs: what dies or gets lost is found by the reconciler, and only by it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from service.domain.adapters import Strategy
from service.domain.engine import EngineFailure, FailureClass
from service.domain.runs import Lane
from service.domain.scheduling import Wait
from service.domain.states import RequestState, RunState, VersionState
from service.flows.alias import set_alias
from service.flows.claim import MAX_ATTEMPTS, Claim, waiting_for
from service.flows.compact import rebuild_now
from service.flows.decide import cancel
from service.flows.fail import PAUSES, fail, hand_back
from service.flows.reconcile import Repairs, reconcile
from tests.support.house import ACTOR, House, people, remove

Later = Callable[[timedelta], None]


def expire(house: House, claimed: Claim) -> None:
    """The worker falls silent."""
    with house.store.write() as unit:
        run = unit.runs.lock(claimed.run_id)
        assert run is not None
        run.lease_until = unit.now - timedelta(seconds=1)


def repair(house: House, **options: float) -> Repairs:
    return reconcile(house.store, house.blobs, **options)


class TestLostWorker:
    def test_another_worker_goes_on(self, house: House) -> None:
        line = house.line("bot", people(6))
        request = house.submit(remove("p0-0"))
        expire(house, house.claim_queued(line))
        assert repair(house).expired_leases == 1
        house.serve(line)
        assert house.request(request).state is RequestState.succeeded

    def test_a_rebuild_that_was_asked_for_is_made_by_the_run_that_takes_over(self, house: House) -> None:
        line = house.line("bot", people(6))
        with house.store.write() as unit:
            asked_for = rebuild_now(unit, "bot", actor=ACTOR).id
        claimed = house.claim(asked_for)
        assert claimed is not None
        request = house.submit(remove("p0-0"), strategy=Strategy.rebuild)
        expire(house, claimed)
        repair(house)
        with house.store.write() as unit:
            cancel(unit, request, actor=ACTOR)
        again = house.claim_queued(line, Lane.compact)
        assert (again.run_id != asked_for, again.attempt) == (True, 2)

    def test_taking_a_run_back_does_not_wait_for_who_claims_the_next(self, house: House) -> None:
        """Whoever claims holds the next run and waits for the line, which whoever takes back holds."""
        line = house.line("bot", people(6))
        house.submit(remove("p0-0"))
        first = house.claim_queued(line)
        second_request = house.submit(remove("p1-0"))
        second = house.queued_run(line)
        assert second is not None
        with ThreadPoolExecutor(1) as pool, house.store.write() as unit:
            run = unit.runs.lock(first.run_id)
            assert run is not None
            unit.lines.lock(line)
            claiming = pool.submit(house.claim, second)
            with pytest.raises(TimeoutError):
                claiming.result(timeout=0.3)
            hand_back(unit, run, reason="worker-lost")
        claimed = claiming.result(timeout=10)
        assert claimed is not None
        house.answer(claimed)
        assert house.request(second_request).state is RequestState.succeeded

    def test_the_last_attempt_is_a_persons_business(self, house: House) -> None:
        line = house.line("bot", people(6), recipe=None)
        request = house.submit(remove("p0-0"))
        for _ in range(MAX_ATTEMPTS):
            expire(house, house.claim_queued(line))
            repair(house)
        row = house.request(request)
        assert row.state is RequestState.needs_attention
        assert row.failure is not None
        assert row.failure["code"] == "worker-lost"

    def test_a_renewed_lease_is_left_alone(self, house: House) -> None:
        line = house.line("bot", people(6))
        house.submit(remove("p0-0"))
        house.claim_queued(line)
        assert repair(house).expired_leases == 0


class TestLostHints:
    def test_a_run_nobody_heard_of_is_hinted_again(self, house: House) -> None:
        line = house.line("bot", people(6))
        house.submit(remove("p0-0"))
        with house.store.write() as unit:
            unit.runs.sent([row.id for row in unit.runs.unsent(100, unit.now)], unit.now)
        assert repair(house, hint_timeout_s=0).lost_hints == 1
        with house.store.read() as unit:
            assert [row.run_id for row in unit.runs.unsent(100, unit.now)] == [house.queued_run(line)]

    def test_waiting_work_without_a_run_gets_one(self, house: House) -> None:
        line = house.line("bot", people(6))
        request = house.submit(remove("p0-0"))
        run_id = house.queued_run(line)
        with house.store.write() as unit:
            run = unit.runs.lock(str(run_id))
            assert run is not None
            run.state = RunState.canceled
        assert repair(house).missing_runs == 1
        house.serve(line)
        assert house.request(request).state is RequestState.succeeded


class TestPoison:
    def test_one_bad_request_is_bisected_out_of_a_batch(self, house: House) -> None:
        line = house.line("bot", people(16), recipe=None)
        requests = [house.submit(remove(f"p{number}-0")) for number in range(5)]
        poison = requests[3]
        permanent = EngineFailure(FailureClass.permanent, "engine-error", "The engine failed.")
        for _ in range(20):
            run_id = house.queued_run(line)
            if run_id is None:
                break
            claimed = house.claim(run_id)
            assert claimed is not None
            with house.store.read() as unit:
                members = {target.request_id for target in unit.targets.of_run(claimed.run_id)}
            if poison in members:
                with house.store.write() as unit:
                    fail(unit, claimed, permanent)
            else:
                house.answer(claimed)
        states = [house.request(request).state for request in requests]
        assert states.pop(3) is RequestState.needs_attention
        assert set(states) == {RequestState.succeeded}


class TestGrace:
    def test_a_version_that_remembers_is_withdrawn_and_its_bytes_deleted(self, house: House) -> None:
        line = house.line("bot", people(6), grace_period_s=0)
        house.submit(remove("p0-0"))
        house.serve(line)
        with house.store.read() as unit:
            old = unit.versions.of_line(line)[0]
        assert repair(house).withdrawn == 1
        with house.store.read() as unit:
            assert unit.versions.get(old.id).state is VersionState.quarantined
        assert house.blobs.exists_tree(str(old.blob_prefix))
        house.rebuild(house.begin_rebuild(line))
        repair(house)
        assert not house.blobs.exists_tree(str(old.blob_prefix))
        assert not house.blobs.exists_tree(str(old.artefacts_prefix))

    def test_aliases_that_point_at_it_are_dropped(self, house: House) -> None:
        line = house.line("bot", people(6), grace_period_s=0)
        with house.store.write() as unit:
            set_alias(unit, "bot", "canary", version="v1", expected=None, actor=ACTOR)
        house.submit(remove("p0-0"))
        house.serve(line)
        repair(house)
        with house.store.read() as unit:
            assert [alias.name for alias in unit.lines.aliases(line)] == ["production"]


def test_an_old_ledger_is_compacted(house: House) -> None:
    line = house.line("bot", people(6), rebuild_after_s=0)
    house.submit(remove("p0-0"))
    house.serve(line)
    assert repair(house).compacted == 1
    assert house.queued_run(line, Lane.compact) is not None
    assert repair(house).compacted == 0


class TestAttempts:
    """What fails again and again is given up, whatever happens beside it."""

    LOST = EngineFailure(FailureClass.fatal_device, "child-died", "The engine child was ended by SIGKILL.")

    def attempt(self, house: House, line: str) -> None:
        """Time goes by, a worker takes the run, and its child dies."""
        with house.store.write() as unit:
            run = unit.runs.queued(line, Lane.answer)
            assert run is not None
            run.not_before = None
        claimed = house.claim_queued(line)
        with house.store.write() as unit:
            fail(unit, claimed, self.LOST)

    def test_it_rests_longer_before_each(self, house: House, later: Later) -> None:
        line = house.line("bot", people(6))
        house.submit(remove("p0-0"))
        for number in range(len(PAUSES)):
            claimed = house.claim_queued(line)
            with house.store.write() as unit:
                fail(unit, claimed, self.LOST)
                assert waiting_for(unit, unit.runs.queued(line, Lane.answer), {"default"}) == Wait.retry
            assert house.claim(claimed.run_id) is None
            repair(house)
            assert house.claim(claimed.run_id) is None, "nor does a repair tell of it early"
            later(sum(PAUSES[: number + 1], timedelta()))
        house.serve(line)

    def test_a_poisonous_request_is_given_up_though_others_keep_coming(self, house: House) -> None:
        line = house.line("bot", people(12), recipe=None)
        poison = house.submit(remove("p0-0"))
        for number in range(1, MAX_ATTEMPTS + 1):
            claimed = house.claim_queued(line)
            house.submit(remove(f"p{number}-0"))
            with house.store.write() as unit:
                fail(unit, claimed, self.LOST)
                run = unit.runs.queued(line, Lane.answer)
                if run is not None:
                    run.not_before = None
        # Now in halves, until the culprit stands alone.
        for _ in range(3 * MAX_ATTEMPTS):
            if house.request(poison).state is RequestState.needs_attention:
                break
            self.attempt(house, line)
        row = house.request(poison)
        assert row.state is RequestState.needs_attention
        assert row.failure == {"code": "child-died", "class": "fatal_device", "detail": self.LOST.detail}
        house.serve(line)
