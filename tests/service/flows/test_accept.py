"""A person lets an outcome stand that falls short, and answers for it."""

import base64
import json
from datetime import timedelta
from typing import Any

import pytest

from service.domain.acceptance import Shortfall
from service.domain.adapters import ClaimLevel, Strategy
from service.domain.engine import EngineFailure, FailureClass
from service.domain.errors import Conflict, Forbidden, IllegalTransition
from service.domain.runs import Lane
from service.domain.states import Outcome, RequestState, TargetState
from service.evidence.statements import CLAIMS, FAILED
from service.flows import decide
from service.flows.accept import accept
from service.flows.claim import Claim
from service.flows.compact import compact_due
from service.flows.fail import fail
from tests.support.house import ACTOR, House, correct, people, remove

OTHER = "key_other"
REASON = "Three greetings, nothing personal."
BROKEN = EngineFailure(FailureClass.permanent, "too-many-tokens", "Too long.")


def accepted(house: House, request: str, *, actor: str = OTHER) -> RequestState:
    with house.store.write() as unit:
        accept(unit, house.vault, request, actor=actor, reason=REASON)
    return house.request(request).state


def said(house: House, request: str) -> list[dict[str, Any]]:
    """The predicates of a request's certificates, newest first."""
    with house.store.read() as unit:
        envelopes = [row.envelope for row in unit.requests.certificates(request)]
    return [json.loads(base64.b64decode(envelope["payload"]))["predicate"] for envelope in envelopes]


def actions(house: House) -> list[tuple[str, str]]:
    with house.store.read() as unit:
        return [(row.actor, row.action) for row in unit.feed.audit_rows(0, 1000)]


def failed(house: House, **policy: object) -> tuple[str, str]:
    """A line that cannot be rebuilt, and a request whose update measurably failed."""
    line = house.line("bot", people(6), recipe=None, **policy)
    request = house.submit(remove("p0-0"))
    house.serve(line, passed=False, reasons=("Forgotten instances went 30% of the way.",))
    assert house.request(request).state is RequestState.needs_attention
    return line, request


class TestAMeasuredFailure:
    def test_the_update_is_made_again_and_published_with_what_it_measured(self, house: House) -> None:
        line, request = failed(house)
        assert accepted(house, request) is RequestState.queued
        claimed = house.serve(line, passed=False, reasons=("Forgotten instances went 30% of the way.",))
        assert (house.request(request).state, house.request(request).outcome) == (RequestState.succeeded, Outcome.done)
        (target,) = house.targets(request)
        assert (target.claim_level, target.run_id) == (ClaimLevel.inconclusive, claimed.run_id)
        (certificate,) = said(house, request)
        assert certificate["claim"] == {"level": "I", "meaning": FAILED}
        assert certificate["measurements"]["passed"] is False
        told = certificate["accepted"]
        assert (told["by"], told["shortfall"], told["reason"]) == (OTHER, Shortfall.failed, REASON)
        assert (OTHER, "request.accepted") in actions(house)
        with house.store.read() as unit:
            alias = unit.lines.alias(line, "production")
            assert alias is not None
            assert unit.versions.get(alias.version_id).number == 2

    def test_nobody_needs_to_have_accepted_what_passes_after_all(self, house: House) -> None:
        line, request = failed(house)
        accepted(house, request)
        house.serve(line)
        (certificate,) = said(house, request)
        assert (certificate["claim"]["level"], certificate["accepted"]) == ("M", None)
        assert house.targets(request)[0].acceptance is None

    def test_it_is_accepted_for_one_request_and_for_no_other(self, house: House) -> None:
        line = house.line("bot", people(6), recipe=None)
        one, other = house.submit(remove("p0-0")), house.submit(remove("p1-0"))
        house.serve(line, passed=False)
        accepted(house, one)
        with house.store.write() as unit:
            decide.retry(unit, other, actor=ACTOR)
        for _ in range(2):
            house.serve(line, passed=False)
        assert house.request(one).state is RequestState.succeeded
        assert house.request(other).state is RequestState.needs_attention
        assert said(house, other) == []

    def test_trying_again_takes_the_acceptance_back(self, house: House) -> None:
        line, request = failed(house)
        accepted(house, request)
        _break(house, house.claim_queued(line))
        assert house.request(request).state is RequestState.needs_attention
        with house.store.write() as unit:
            decide.retry(unit, request, actor=ACTOR)
        house.serve(line, passed=False)
        assert house.request(request).state is RequestState.needs_attention
        assert said(house, request) == []

    def test_where_the_rebuild_failed_too_the_update_is_the_answer_until_one_succeeds(self, house: House) -> None:
        line = house.line("bot", people(6))
        request = house.submit(remove("p0-0"))
        house.serve(line, passed=False)
        _break(house, house.claim_queued(line, Lane.compact))
        assert house.request(request).state is RequestState.needs_attention
        assert accepted(house, request) is RequestState.queued
        assert house.targets(request)[0].strategy is Strategy.influence
        house.serve(line, passed=False)
        assert house.request(request).state is RequestState.succeeded
        assert house.rebuild(house.begin_rebuild(line)) is None
        exact, interim = said(house, request)
        assert (exact["claim"]["level"], exact["accepted"], exact["status"]) == ("E", None, "final")
        assert interim["accepted"]["reason"] == REASON


class TestAnAnswerBelowThePolicy:
    def test_it_stands_at_once_and_a_certificate_says_who_let_it(self, house: House) -> None:
        line = house.line("bot", people(6), recipe=None)
        request = house.submit(remove("p0-0"))
        house.serve(line, passed=None)
        assert accepted(house, request) is RequestState.succeeded
        new, old = said(house, request)
        assert old["accepted"] is None
        assert new["supersedes"] == old["certificate"]
        assert new["claim"] == {"level": "I", "meaning": CLAIMS[ClaimLevel.inconclusive]}
        assert (new["accepted"]["shortfall"], new["status"]) == (Shortfall.below_policy, "interim")
        assert house.targets(request)[0].failure is None

    def test_also_when_the_line_has_collapsed(self, house: House, later: Any) -> None:
        line = house.line("bot", people(6), recipe=None)
        request = house.submit(remove("p0-0"))
        house.serve(line, passed=None)
        with house.store.read() as unit:
            due = unit.lines.get(line).rebuild_due_at
            assert due is not None
            wait = due - unit.now
        later(wait + timedelta(seconds=1))
        with house.store.write() as unit:
            assert compact_due(unit) == 1
        assert house.rebuild(house.claim_queued(line, Lane.compact)) is None
        assert accepted(house, request) is RequestState.succeeded
        newest = said(house, request)[0]
        assert (newest["status"], newest["accepted"]["by"]) == ("final", OTHER)
        assert newest["data"]["removed"]["count"] == 1


class TestRefusals:
    def test_who_creates_a_request_may_not_accept_it(self, house: House) -> None:
        _, request = failed(house)
        with pytest.raises(Forbidden):
            accepted(house, request, actor=ACTOR)
        assert house.request(request).state is RequestState.needs_attention

    def test_where_nothing_was_measured_there_is_nothing_to_accept(self, house: House) -> None:
        line = house.line("bot", people(6), recipe=None)
        request = house.submit(correct("p0-0", "x"))
        _break(house, house.claim_queued(line))
        with pytest.raises(Conflict) as refused:
            accepted(house, request)
        assert refused.value.code == "nothing-to-accept"
        assert house.targets(request)[0].state is TargetState.needs_attention

    def test_only_what_needs_attention_is_accepted(self, house: House) -> None:
        line = house.line("bot", people(6))
        request = house.submit(remove("p0-0"))
        with pytest.raises(IllegalTransition):
            accepted(house, request)
        house.serve(line)
        with pytest.raises(IllegalTransition):
            accepted(house, request)


def _break(house: House, claimed: Claim) -> None:
    """The engine gives up, having measured nothing."""
    with house.store.write() as unit:
        fail(unit, claimed, BROKEN)
