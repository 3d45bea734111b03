"""Decisions: each is a transition, and an illegal one changes nothing."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any, TypeAlias, cast
from zoneinfo import ZoneInfo

import pytest

from service.domain.clocks import latest_due_at
from service.domain.decisions import RejectionCode, Verb
from service.domain.errors import Fenced, Forbidden, IllegalTransition, InvalidInput
from service.domain.runs import Lane
from service.domain.states import RequestState
from service.flows import decide
from service.flows.claim import Claim
from service.flows.decisions import decisions_of
from service.flows.fail import make_room
from service.flows.publish import publish_answer
from service.flows.staged import StagedAnswer
from service.store.database import Unit
from service.store.tables import UnlearningRequest
from tests.support.house import ACTOR, House, people, remove

OTHER = "key_other"
BERLIN = ZoneInfo("Europe/Berlin")
Stop: TypeAlias = Callable[[House, str], RequestState]


def decided(house: House, verb: Callable[..., UnlearningRequest], request: str, **fields: object) -> RequestState:
    with house.store.write() as unit:
        verb(unit, request, **{"actor": OTHER, **fields})
    return house.request(request).state


def needing_approval(house: House) -> tuple[str, str]:
    line = house.line("bot", people(6), require_approval=True)
    return line, house.submit(remove("p0-0"))


def rejected(house: House, request: str, code: RejectionCode, reason: str) -> RequestState:
    with house.store.write() as unit:
        decide.reject(unit, house.vault, request, actor=OTHER, reason_code=code, reason=reason)
    return house.request(request).state


def canceled(house: House, request: str) -> RequestState:
    return decided(house, decide.cancel, request)


def denied(house: House, request: str) -> RequestState:
    return rejected(house, request, RejectionCode.other, "Not ours.")


def held(house: House, request: str) -> RequestState:
    return decided(house, decide.hold, request, reason="litigation")


@pytest.fixture(params=[canceled, held])
def stop(request: pytest.FixtureRequest) -> Stop:
    """Either decision that takes a request from whoever works on it."""
    return cast(Stop, request.param)


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
        assert rejected(house, request, RejectionCode.other, "exempt") is RequestState.rejected
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

    def test_after_it_the_run_is_aborted_and_the_others_requeued(self, house: House) -> None:
        line = house.line("bot", people(8))
        canceled, other = house.submit(remove("p0-0")), house.submit(remove("p1-0"))
        claimed = house.claim_queued(line)
        assert decided(house, decide.cancel, canceled) is RequestState.canceled
        with pytest.raises(Fenced):
            house.answer(claimed)
        house.serve(line)
        assert house.request(other).state is RequestState.succeeded
        assert house.request(canceled).state is RequestState.canceled
        with house.store.read() as unit:
            assert {entry.instance_id for entry in unit.ledger.of_line(line)} == {"p1-0"}

    def test_a_rebuild_forgets_what_it_trained_without_the_data(self, house: House) -> None:
        line = house.line("bot", people(8), default_strategy="rebuild")
        request = house.submit(remove("p0-0"))
        claimed = house.claim_queued(line, Lane.compact)
        with house.store.write() as unit:
            make_room(unit, claimed, house.derived())
        assert decided(house, decide.cancel, request) is RequestState.canceled
        with house.store.read() as unit:
            run = unit.runs.get(claimed.run_id)
            assert run is not None
            assert run.checkpoint is None
            assert unit.targets.of_run(run.id) == []

    def test_not_once_it_is_published(self, house: House) -> None:
        line = house.line("bot", people(6), recipe=None, complete_at="E")
        request = house.submit(remove("p0-0"))
        house.serve(line)
        assert house.request(request).state is RequestState.needs_attention
        with pytest.raises(IllegalTransition):
            decided(house, decide.cancel, request)

    def test_what_never_worked_out_can_be_called_off(self, house: House) -> None:
        line = house.line("bot", people(6), recipe=None)
        request = house.submit(remove("p0-0"))
        house.serve(line, passed=False)
        assert house.request(request).state is RequestState.needs_attention
        assert decided(house, decide.cancel, request) is RequestState.canceled

    def test_who_publishes_is_waited_for_and_seen(self, house: House, stop: Stop) -> None:
        line = house.line("bot", people(6))
        request = house.submit(remove("p0-0"))
        claimed = house.claim_queued(line)
        staged = house.staged_answer(claimed)
        with ThreadPoolExecutor(1) as pool, house.store.write() as unit:
            unit.runs.lock(claimed.run_id)
            stopped = pool.submit(stop, house, request)
            with pytest.raises(TimeoutError):
                stopped.result(timeout=0.3)
            publish_answer(unit, house.vault, claimed, staged)
        assert isinstance(stopped.exception(), IllegalTransition)
        assert house.request(request).state is RequestState.succeeded

    @pytest.mark.slow
    def test_racing_a_publication_one_of_them_wins(self, house: House, stop: Stop) -> None:
        for number in range(6):
            line = house.line(f"bot-{number}", people(4))
            request = house.submit(remove("p0-0"), adapters=[f"bot-{number}"])
            claimed = house.claim_queued(line)
            staged, start = house.staged_answer(claimed), Barrier(2)

            def publish(claimed: Claim = claimed, staged: StagedAnswer = staged, start: Barrier = start) -> None:
                start.wait()
                with house.store.write() as unit:
                    publish_answer(unit, house.vault, claimed, staged)

            def decision(request: str = request, start: Barrier = start) -> None:
                start.wait()
                stop(house, request)

            with ThreadPoolExecutor(2) as pool:
                racing = [pool.submit(one) for one in (publish, decision)]
            published, stopped = (one.exception() for one in racing)
            with house.store.read() as unit:
                entries, row = unit.ledger.of_line(line), house.request(request)
            if stopped is None:
                assert isinstance(published, Fenced)
                assert (entries, row.state) == ([], RequestState.canceled if stop is canceled else RequestState.queued)
            else:
                assert isinstance(stopped, IllegalTransition), stopped
                assert published is None
                assert (len(entries), row.state, row.on_hold) == (1, RequestState.succeeded, False)


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
    RECEIVED = datetime.now(UTC) - timedelta(days=3)

    def test_once_and_only_forward(self, house: House) -> None:
        house.line("bot", people(6))
        request = house.submit(remove("p0-0"))
        due = house.request(request).due_at
        with pytest.raises(InvalidInput):
            decided(house, decide.extend, request, extension=until(due))
        decided(house, decide.extend, request, extension=until(due + timedelta(days=60)))
        assert house.request(request).due_at == due + timedelta(days=60)
        with pytest.raises(IllegalTransition):
            decided(house, decide.extend, request, extension=until(due + timedelta(days=90)))

    @pytest.mark.parametrize("regulation", ["gdpr", "uk_gdpr", "ccpa", "cpra"])
    def test_as_far_as_the_regulation_allows(self, house: House, regulation: str) -> None:
        house.line("bot", people(6))
        request = house.submit(remove("p0-0"), regulation=regulation, received_at=self.RECEIVED, zone=BERLIN)
        latest = latest_due_at(self.RECEIVED, regulation, BERLIN)
        assert latest is not None
        with pytest.raises(InvalidInput) as refused:
            decided(house, decide.extend, request, extension=until(latest + timedelta(seconds=1)))
        assert (refused.value.field, refused.value.code) == ("/due_at", "due-too-late")
        assert refused.value.extra == {"latest": latest.isoformat()}
        assert house.request(request).extended_at is None
        decided(house, decide.extend, request, extension=until(latest))
        assert house.request(request).due_at == latest

    def test_not_once_it_is_due(self, house: House, later: Any) -> None:
        house.line("bot", people(6))
        request = house.submit(remove("p0-0"), regulation="gdpr")
        due = house.request(request).due_at
        later(due - datetime.now(UTC))
        with pytest.raises(IllegalTransition):
            decided(house, decide.extend, request, extension=until(due + timedelta(days=1)))


def until(due_at: datetime) -> decide.Extension:
    return decide.Extension(due_at, "complex", BERLIN)


def test_no_reason_is_lost(house: House) -> None:
    _, request = needing_approval(house)
    decided(house, decide.hold, request, reason="litigation")
    decided(house, decide.release, request)
    due = house.request(request).due_at + timedelta(days=1)
    decided(house, decide.extend, request, extension=until(due))
    decided(house, decide.hold, request, reason="litigation again", actor="key_third")
    decided(house, decide.release, request)
    rejected(house, request, RejectionCode.legal_exception, "freedom of expression")
    row = house.request(request)
    made = decisions_of(row)
    assert [(one.verb, one.reason) for one in made] == [
        (Verb.hold, "litigation"),
        (Verb.release, None),
        (Verb.extend, "complex"),
        (Verb.hold, "litigation again"),
        (Verb.release, None),
        (Verb.reject, "freedom of expression"),
    ]
    assert [one.by for one in made] == [OTHER, OTHER, OTHER, "key_third", OTHER, OTHER]
    assert (made[2].due_at, made[5].reason_code) == (due, RejectionCode.legal_exception)
    assert row.rejection_code is RejectionCode.legal_exception


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


@pytest.mark.parametrize("end", [canceled, denied])
def test_a_hold_ends_with_its_request(house: House, end: Stop) -> None:
    """Or it would be counted, listed and told as one that waits for somebody to release it."""
    _, request = needing_approval(house)
    held(house, request)
    assert house.request(request).on_hold
    end(house, request)
    assert not house.request(request).on_hold
    with pytest.raises(IllegalTransition):
        decided(house, decide.release, request)
