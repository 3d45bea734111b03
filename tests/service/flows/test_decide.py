"""Decisions: each is a transition, and an illegal one changes nothing."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from service.domain.errors import Fenced, Forbidden, IllegalTransition, InvalidInput
from service.domain.states import RequestState
from service.flows import decide
from service.store.database import Unit
from service.store.tables import UnlearningRequest
from tests.support.house import ACTOR, House, people, remove

OTHER = "key_other"


def decided(house: House, verb: Callable[..., UnlearningRequest], request: str, **fields: object) -> RequestState:
    with house.store.write() as unit:
        verb(unit, request, **{"actor": OTHER, **fields})
    return house.request(request).state


def needing_approval(house: House) -> tuple[str, str]:
    line = house.line("bot", people(6), require_approval=True)
    return line, house.submit(remove("p0-0"))


class TestApproval:
    def test_another_key_approves(self, house: House) -> None:
        line, request = needing_approval(house)
        assert decided(house, decide.approve, request) is RequestState.queued
        house.serve(line)
        assert house.request(request).state is RequestState.succeeded

    def test_the_creator_may_not(self, house: House) -> None:
        _, request = needing_approval(house)
        with pytest.raises(Forbidden):
            decided(house, decide.approve, request, actor=ACTOR)
        assert house.request(request).state is RequestState.awaiting_approval

    def test_rejection_is_final(self, house: House) -> None:
        _, request = needing_approval(house)
        assert decided(house, decide.reject, request, reason="exempt") is RequestState.rejected
        with pytest.raises(IllegalTransition):
            decided(house, decide.approve, request)


class TestCancel:
    def test_before_the_claim(self, house: House) -> None:
        line = house.line("bot", people(6))
        request = house.submit(remove("p0-0"))
        assert decided(house, decide.cancel, request) is RequestState.canceled
        run_id = house.queued_run(line)
        assert run_id is not None
        assert house.claim(run_id) is None

    def test_not_after_it(self, house: House) -> None:
        line = house.line("bot", people(6))
        request = house.submit(remove("p0-0"))
        house.claim_queued(line)
        with pytest.raises(IllegalTransition):
            decided(house, decide.cancel, request)


class TestHold:
    def test_a_held_request_is_passed_over_until_released(self, house: House) -> None:
        line = house.line("bot", people(8))
        held, free = house.submit(remove("p0-0")), house.submit(remove("p1-0"))
        decided(house, decide.hold, held, reason="litigation")
        house.serve(line)
        assert house.request(held).state is RequestState.queued
        assert house.request(free).state is RequestState.succeeded
        decided(house, decide.release, held)
        house.serve(line)
        assert house.request(held).state is RequestState.succeeded

    def test_it_aborts_an_unpublished_run_and_requeues_the_others(self, house: House) -> None:
        line = house.line("bot", people(8))
        held, other = house.submit(remove("p0-0")), house.submit(remove("p1-0"))
        claimed = house.claim_queued(line)
        decided(house, decide.hold, held, reason="litigation")
        with pytest.raises(Fenced):
            house.answer(claimed)
        house.serve(line)
        assert house.request(other).state is RequestState.succeeded
        assert house.request(held).state is RequestState.queued


class TestExtend:
    def test_once_and_only_forward(self, house: House) -> None:
        house.line("bot", people(6))
        request = house.submit(remove("p0-0"))
        due = house.request(request).due_at
        with pytest.raises(InvalidInput):
            decided(house, decide.extend, request, due_at=due, reason="complex")
        decided(house, decide.extend, request, due_at=due + timedelta(days=60), reason="complex")
        assert house.request(request).due_at == due + timedelta(days=60)
        with pytest.raises(IllegalTransition):
            decided(house, decide.extend, request, due_at=due + timedelta(days=90), reason="complex")


def test_retry_queues_what_needed_attention(house: House) -> None:
    line = house.line("bot", people(6), recipe=None)
    request = house.submit(remove("p0-0"))
    house.serve(line, passed=False)
    assert decided(house, decide.retry, request) is RequestState.queued
    house.serve(line)
    assert house.request(request).state is RequestState.succeeded


@pytest.mark.parametrize("verb", [decide.approve, decide.cancel, decide.release, decide.retry])
def test_nothing_can_be_decided_about_a_finished_request(
    house: House, verb: Callable[[Unit, str], UnlearningRequest]
) -> None:
    line = house.line("bot", people(6))
    request = house.submit(remove("p0-0"))
    house.serve(line)
    with pytest.raises(IllegalTransition):
        decided(house, verb, request)
