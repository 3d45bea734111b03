"""Publishing answers: everything appears together, once, and only from the newest claim."""

import base64
import json

import pytest

from service.domain.adapters import ClaimLevel, Strategy
from service.domain.engine import EngineFailure, FailureClass
from service.domain.errors import Fenced
from service.domain.measurements import Distribution, Group, Interval, Measurement, Power, Verified, Wish
from service.domain.measurements import Outcome as Measured
from service.domain.runs import Lane
from service.domain.states import Outcome, RequestState, TargetState, VersionState
from service.flows.assemble import run_edits
from service.flows.fail import fail
from service.flows.publish import publish_answer
from tests.support.house import House, ask_otherwise, correct, people, remove, remove_subject

VERIFIED = Verified(
    measurements=(
        Measurement(
            metric="loss",
            group=Group.forgotten,
            n=2,
            before=0.1,
            after=0.9,
            wish=Wish.equal,
            reference=1.0,
            difference=Interval(-0.3, 0.1),
            margin=0.2,
            worst=0.7,
            outcome=Measured.inconclusive,
        ),
    ),
    distributions=(Distribution(Group.forgotten, before=True, edges=(0.0, 1.0, 2.0), counts=(1, 0)),),
    power=(Power(5, 100, false_pass=0.0, false_alarm=0.04, undecided_known=0.1, undecided_never_seen=0.2),),
    not_run={"relearning_ratio": "Too dear."},
)


class TestAnswer:
    def test_a_removal_becomes_the_next_version_and_moves_the_alias(self, house: House) -> None:
        line = house.line("bot", people(6))
        request = house.submit(remove_subject(" PERSON 1 "))
        house.serve(line)
        assert house.request(request).state is RequestState.succeeded
        assert house.request(request).outcome is Outcome.done
        with house.store.read() as unit:
            versions = unit.versions.of_line(line)
            production = unit.lines.alias(line, "production")
            assert [v.state for v in versions] == [VersionState.ready, VersionState.ready]
            assert production is not None
            assert production.version_id == versions[1].id
            assert versions[0].withdraw_at is not None
            assert versions[1].withdraw_at is None
            assert [(e.seq, e.instance_id) for e in unit.ledger.of_line(line)] == [(1, "p1-0"), (2, "p1-1")]
            (target,) = unit.targets.of_request(request)
            assert (target.claim_level, target.version_id) == (ClaimLevel.measured, versions[1].id)
            (certificate,) = unit.requests.certificates(request)
            assert not certificate.final

    def test_pending_requests_coalesce_into_one_version(self, house: House) -> None:
        line = house.line("bot", people(8))
        requests = [house.submit(remove(f"p{number}-0")) for number in range(3)]
        house.serve(line)
        assert {house.request(request).state for request in requests} == {RequestState.succeeded}
        with house.store.read() as unit:
            assert len(unit.versions.of_line(line)) == 2

    def test_every_run_solves_the_whole_ledger_since_the_anchor(self, house: House) -> None:
        line = house.line("bot", people(8))
        house.submit(remove("p0-0"))
        house.serve(line)
        house.submit(correct("p1-0", "Something else."), ask_otherwise("p2-0", "Another question?"))
        claimed = house.claim_queued(line)
        with house.store.read() as unit:
            edits = run_edits(unit, house.vault, claimed)
        assert [edit.instance_id for edit in edits] == ["p0-0", "p1-0", "p2-0"]
        assert edits[0].new is None
        assert edits[1].new is not None
        assert edits[1].new.completion == "Something else."
        assert edits[2].new is not None
        assert edits[2].new.prompt == "Another question?"

    def test_a_stale_claim_changes_nothing(self, house: House) -> None:
        line = house.line("bot", people(6))
        house.submit(remove("p0-0"))
        stale = house.claim_queued(line)
        with house.store.write() as unit:
            run = unit.runs.lock(stale.run_id)
            assert run is not None
            run.fence += 1
        with pytest.raises(Fenced), house.store.write() as unit:
            publish_answer(unit, house.vault, stale, house.staged_answer(stale))
        with house.store.read() as unit:
            assert len(unit.versions.of_line(line)) == 1
            assert not unit.ledger.of_line(line)

    def test_publishing_twice_is_refused(self, house: House) -> None:
        line = house.line("bot", people(6))
        house.submit(remove("p0-0"))
        claimed = house.serve(line)
        with pytest.raises(Fenced):
            house.answer(claimed)

    def test_a_measured_failure_goes_to_rebuild_and_publishes_nothing(self, house: House) -> None:
        line = house.line("bot", people(6))
        request = house.submit(remove("p0-0"))
        house.serve(line, passed=False)
        assert house.request(request).state is RequestState.queued
        assert house.queued_run(line, Lane.compact) is not None
        with house.store.read() as unit:
            assert len(unit.versions.of_line(line)) == 1

    def test_a_measured_failure_without_recipe_needs_attention(self, house: House) -> None:
        line = house.line("bot", people(6), recipe=None)
        request = house.submit(remove("p0-0"))
        house.serve(line, passed=False)
        assert house.request(request).state is RequestState.needs_attention
        assert house.targets(request)[0].failure is not None

    @pytest.mark.parametrize("wish", [Strategy.auto, Strategy.influence])
    def test_an_update_too_far_from_a_retrain_goes_to_rebuild_and_says_why(self, house: House, wish: Strategy) -> None:
        line = house.line("bot", people(6), seconds=100_000, max_fidelity=1.5)
        request = house.submit(remove("p0-0"), strategy=wish)
        claimed = house.serve(line, fidelity=2.1)
        assert house.request(request).state is RequestState.queued
        (target,) = house.targets(request)
        assert target.choices is not None
        first, second = target.choices
        assert (target.strategy, first["strategy"], first["escalated_from"]) == (
            Strategy.rebuild, "influence", None,
        )  # fmt: skip
        assert (second["strategy"], second["escalated_from"], second["run"]) == (
            "rebuild", "influence", claimed.run_id,
        )  # fmt: skip
        assert second["reason"] == (
            "The update is 2.10 noise floors from out-of-fold predictions; the policy's max_fidelity is 1.50."
        )
        with house.store.read() as unit:
            assert len(unit.versions.of_line(line)) == 1
            run = unit.runs.get(claimed.run_id)
            assert run is not None
            assert run.report is not None
            assert (run.report["passed"], run.report["fidelity"]) == (False, 2.1)
            assert second["reason"] in run.report["reasons"]
        house.rebuild(house.claim_queued(line, Lane.compact))
        assert house.targets(request)[0].claim_level is ClaimLevel.exact

    @pytest.mark.parametrize(("fidelity", "limit"), [(1.5, 1.5), (None, 1.5), (2.1, None)])
    def test_an_update_close_enough_is_published_with_its_distance(
        self, house: House, fidelity: float | None, limit: float | None
    ) -> None:
        line = house.line("bot", people(6), max_fidelity=limit)
        request = house.submit(remove("p0-0"))
        house.serve(line, fidelity=fidelity, grade="out-of-fold", drift=0.2)
        assert house.targets(request)[0].claim_level is ClaimLevel.measured
        with house.store.read() as unit:
            measured = unit.versions.of_line(line)[-1].measurements
        assert measured is not None
        assert (measured["grade"], measured["fidelity"], measured["drift"]) == ("out-of-fold", fidelity, 0.2)

    def test_what_was_verified_is_reported_and_certified_but_for_how_losses_are_spread(self, house: House) -> None:
        line = house.line("bot", people(6))
        request = house.submit(remove("p0-0"))
        house.serve(line, verified=VERIFIED)
        with house.store.read() as unit:
            reported = (unit.versions.of_line(line)[-1].measurements or {})["verified"]
            (certificate,) = unit.requests.certificates(request)
        predicate = json.loads(base64.b64decode(certificate.envelope["payload"]))["predicate"]
        certified = predicate["measurements"]
        assert reported["distributions"] == [
            {"group": "forgotten", "before": True, "edges": [0.0, 1.0, 2.0], "counts": [1, 0]}
        ]
        assert "distributions" not in json.dumps(predicate)
        assert (certified["metrics"], certified["power"]) == (reported["measurements"], reported["power"])
        (measurement,) = certified["metrics"]
        assert (measurement["outcome"], measurement["worst"]) == ("inconclusive", 0.7)
        assert measurement["difference"] == {"low": -0.3, "high": 0.1}
        assert certified["power"][0]["false_alarm"] == 0.04
        assert predicate["tests_not_run"] == {"relearning_ratio": "Too dear."}

    def test_too_far_without_recipe_is_published_inconclusive_with_the_reason(self, house: House) -> None:
        line = house.line("bot", people(6), recipe=None, max_fidelity=1.5)
        request = house.submit(remove("p0-0"))
        house.serve(line, fidelity=2.1)
        assert house.request(request).state is RequestState.needs_attention
        (target,) = house.targets(request)
        assert target.claim_level is ClaimLevel.inconclusive
        assert target.failure is not None
        assert "2.10 noise floors" in target.failure["detail"]
        with house.store.read() as unit:
            head = unit.versions.of_line(line)[-1]
            assert (head.id, head.claim_level) == (target.version_id, ClaimLevel.inconclusive)
            assert [entry.instance_id for entry in unit.ledger.of_line(line)] == ["p0-0"]

    def test_an_engine_failure_that_goes_to_rebuild_says_why_too(self, house: House) -> None:
        line = house.line("bot", people(6))
        request = house.submit(remove("p0-0"))
        claimed = house.claim_queued(line)
        with house.store.write() as unit:
            fail(unit, claimed, EngineFailure(FailureClass.permanent, "diverged", "The solve diverged."))
        (target,) = house.targets(request)
        assert target.choices is not None
        last = target.choices[-1]
        assert (last["escalated_from"], last["reason"], last["run"]) == (
            "influence", "The solve diverged.", claimed.run_id,
        )  # fmt: skip

    def test_an_inconclusive_measurement_publishes_and_waits_for_the_rebuild(self, house: House) -> None:
        line = house.line("bot", people(6))
        request = house.submit(remove("p0-0"))
        house.serve(line, passed=None)
        assert house.request(request).state is RequestState.awaiting_rebuild
        assert house.targets(request)[0].claim_level is ClaimLevel.inconclusive

    def test_requests_that_arrive_during_a_run_get_their_own(self, house: House) -> None:
        line = house.line("bot", people(8))
        first = house.submit(remove("p0-0"))
        claimed = house.claim_queued(line)
        second = house.submit(remove("p1-0"))
        house.answer(claimed)
        assert house.request(first).state is RequestState.succeeded
        assert house.request(second).state is RequestState.queued
        house.serve(line)
        assert house.request(second).state is RequestState.succeeded


class TestStates:
    def test_complete_at_exact_waits_for_the_rebuild(self, house: House) -> None:
        line = house.line("bot", people(6), complete_at="E")
        request = house.submit(remove("p0-0"))
        house.serve(line)
        assert house.targets(request)[0].state is TargetState.awaiting_rebuild
        house.rebuild(house.begin_rebuild(line))
        assert house.request(request).state is RequestState.succeeded
