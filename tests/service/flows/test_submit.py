"""Submission: one transaction makes the promise."""

import base64
import json
from datetime import UTC, datetime

import pytest

from service.domain.adapters import Strategy
from service.domain.errors import Conflict
from service.domain.runs import Lane
from service.domain.states import Outcome, RequestState, TargetState
from service.flows.plan import plan
from service.flows.submit import Submission
from tests.support.house import House, people, remove, remove_subject


def test_a_request_gets_targets_runs_hints_and_a_signed_receipt(house: House) -> None:
    line = house.line("bot", people(6))
    request = house.submit(remove_subject("Person 1"), client_reference="T-1", regulation="gdpr")
    row = house.request(request)
    assert row.state is RequestState.queued
    statement = json.loads(base64.b64decode(row.receipt["payload"]))
    assert statement["predicate"]["request"] == request
    assert "Person" not in json.dumps(statement)
    run = house.queued_run(line)
    with house.store.read() as unit:
        assert [hint.run_id for hint in unit.runs.unsent(10, unit.now)][-1] == run


def test_the_same_client_reference_is_refused_and_names_the_request(house: House) -> None:
    house.line("bot", people(6))
    first = house.submit(remove("p0-0"), client_reference="T-1")
    with pytest.raises(Conflict) as refused:
        house.submit(remove("p1-0"), client_reference="T-1")
    assert refused.value.extra == {"request": first}


def test_nobody_known_by_that_name_is_an_answer(house: House) -> None:
    house.line("bot", people(2))
    request = house.request(house.submit(remove_subject("Nobody")))
    assert (request.state, request.outcome) == (RequestState.succeeded, Outcome.no_match)


def test_a_name_that_cannot_be_looked_up_needs_attention(house: House) -> None:
    house.line("bot", [{"id": "1", "prompt": "a", "completion": "b"}])
    request = house.request(house.submit(remove_subject("Nobody")))
    assert request.state is RequestState.needs_attention
    assert request.failure is not None
    assert request.failure["code"] == "subjects-not-indexed"


def test_the_due_date_follows_the_regulation(house: House) -> None:
    house.line("bot", people(2))
    received = datetime(2026, 1, 31, 12, tzinfo=UTC)
    request = house.submit(remove_subject("Nobody"), regulation="gdpr", received_at=received)
    # The 28th is a Saturday: the time ends with the next working day (Regulation 1182/71).
    assert house.request(request).due_at == datetime(2026, 3, 2, 23, 59, 59, tzinfo=UTC)


class TestStrategy:
    def test_auto_rebuilds_what_is_quick_to_rebuild(self, house: House) -> None:
        house.line("bot", people(6), seconds=60)
        (target,) = house.targets(house.submit(remove("p0-0"), strategy=Strategy.auto))
        assert target.strategy is Strategy.rebuild

    def test_auto_answers_by_influence_where_a_rebuild_is_slow(self, house: House) -> None:
        house.line("bot", people(6), seconds=100_000)
        (target,) = house.targets(house.submit(remove("p0-0"), strategy=Strategy.auto))
        assert target.strategy is Strategy.influence

    def test_a_large_share_is_rebuilt_whatever_was_asked(self, house: House) -> None:
        line = house.line("bot", people(6), influence_share=0.1)
        (target,) = house.targets(house.submit(remove_subject("Person 1"), strategy=Strategy.influence))
        assert target.strategy is Strategy.rebuild
        assert house.queued_run(line, Lane.compact) is not None

    def test_more_than_the_policys_share_waits_for_approval(self, house: House) -> None:
        line = house.line("bot", people(6), max_share=0.1)
        request = house.submit(remove_subject("Person 1"))
        assert house.request(request).state is RequestState.awaiting_approval
        assert house.targets(request)[0].state is TargetState.awaiting_approval
        assert house.queued_run(line) is None


def test_a_plan_shows_the_same_and_changes_nothing(house: House) -> None:
    line = house.line("bot", people(6))
    with house.store.read() as unit:
        found = plan(unit, house.vault, Submission((remove_subject("Person 1"),)))
    (on_bot,) = found.lines
    assert (on_bot.adapter, on_bot.removals, on_bot.corrections) == ("bot", 2, 0)
    assert on_bot.strategy is Strategy.influence
    assert not on_bot.needs_approval
    assert house.queued_run(line) is None
