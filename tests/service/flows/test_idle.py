"""When a line may have folds trained, and what counts as something better to do."""

import pytest

from service.domain.runs import Lane, RunKind
from service.flows.change_policy import update_policy
from service.flows.compact import rebuild_now
from service.flows.decide import hold
from service.flows.idle import has_idle_worker, others_wait, wants_folds
from service.flows.retire import retire
from tests.support.house import ACTOR, House, people, remove


def wants(house: House, line: str) -> bool:
    with house.store.read() as unit:
        return wants_folds(unit, unit.lines.get(line))


def waits(house: House, pool: str = "default") -> bool:
    with house.store.read() as unit:
        return others_wait(unit, pool)


def has_worker(house: House, pool: str = "default") -> bool:
    with house.store.read() as unit:
        return has_idle_worker(unit, pool)


class TestWants:
    def test_only_where_the_policy_says_so(self, house: House) -> None:
        line = house.line("bot", people(6))
        assert not wants(house, line)
        with house.store.write() as unit:
            update_policy(unit, "bot", {"out_of_fold": True}, actor=ACTOR)
        assert wants(house, line)

    def test_not_without_a_recipe_to_train_them_by(self, house: House) -> None:
        assert not wants(house, house.line("bot", people(6), recipe=None, out_of_fold=True))

    @pytest.mark.parametrize("policy", [{}, {"require_approval": True}])
    def test_not_while_a_request_is_open(self, house: House, policy: dict[str, object]) -> None:
        line = house.line("bot", people(6), out_of_fold=True, **policy)
        house.submit(remove("p0-0"))
        assert not wants(house, line)

    def test_not_while_a_request_is_on_hold(self, house: House) -> None:
        line = house.line("bot", people(6), out_of_fold=True)
        request = house.submit(remove("p0-0"))
        with house.store.write() as unit:
            hold(unit, request, actor=ACTOR, reason=None)
        assert not wants(house, line)

    def test_not_with_a_ledger_but_again_with_the_next_anchor(self, house: House) -> None:
        line = house.line("bot", people(6), out_of_fold=True)
        house.submit(remove("p0-0"))
        house.serve(line)
        assert not wants(house, line)
        house.rebuild(house.begin_rebuild(line))
        assert wants(house, line)

    def test_not_while_the_next_anchor_is_being_trained(self, house: House) -> None:
        line = house.line("bot", people(6), out_of_fold=True)
        with house.store.write() as unit:
            rebuild_now(unit, "bot", actor=ACTOR)
        assert wants(house, line)
        house.claim_queued(line, Lane.compact)
        assert not wants(house, line)

    def test_a_retired_line_wants_none(self, house: House) -> None:
        line = house.line("bot", people(6), out_of_fold=True)
        with house.store.write() as unit:
            retire(unit, house.vault, "bot", actor=ACTOR, reason="gone")
        assert not wants(house, line)


class TestOthersWait:
    def test_for_a_queued_answer_or_training_in_the_same_pool(self, house: House) -> None:
        line = house.line("bot", people(6))
        assert not waits(house)
        house.submit(remove("p0-0"))
        assert waits(house)
        assert not waits(house, "gpu-80g")
        house.serve(line)
        assert not waits(house)
        with house.store.write() as unit:
            rebuild_now(unit, "bot", actor=ACTOR)
        assert waits(house)

    def test_not_for_a_run_whose_lane_is_taken(self, house: House) -> None:
        line = house.line("bot", people(6))
        house.submit(remove("p0-0"))
        claimed = house.claim_queued(line)
        house.submit(remove("p1-0"))
        assert house.queued_run(line) is not None
        assert not waits(house)
        house.answer(claimed)
        assert waits(house)

    def test_not_for_a_run_that_lost_its_anchor(self, house: House) -> None:
        line = house.line("bot", people(6))
        house.submit(remove("p0-0"))
        with house.store.write() as unit:
            unit.lines.lock(line).anchor_id = None
        assert house.queued_run(line) is not None
        assert not waits(house)

    def test_not_for_idle_work(self, house: House) -> None:
        line = house.line("bot", people(6))
        with house.store.write() as unit:
            unit.runs.enqueue(line, RunKind.out_of_fold, pool="default", now=unit.now)
        assert not waits(house)


class TestIdleWorker:
    def test_one_that_is_there_and_has_nothing_to_do(self, house: House) -> None:
        line = house.line("bot", people(6))
        assert not has_worker(house)
        house.show_worker()
        assert has_worker(house)
        assert not has_worker(house, "gpu-80g")
        house.submit(remove("p0-0"))
        assert not has_worker(house)
        claimed = house.claim_queued(line)
        assert not has_worker(house), "it is at work"
        house.answer(claimed)
        assert has_worker(house)

    def test_one_that_fell_silent_long_ago_is_gone(self, house: House) -> None:
        house.show_worker()
        with house.store.write() as unit:
            unit.runs.seen_worker("worker-of-default", "default", None, unit.now.replace(year=2020))
        assert not has_worker(house)
