"""`auto`: the cheapest strategy that is expected to come close enough to a retrain."""

import pytest

from service.domain.adapters import Strategy
from service.domain.operations import Operation
from service.domain.runs import Lane
from service.flows.leave_out import queue_idle
from service.flows.plan import LinePlan, plan
from service.flows.submit import Submission
from tests.support.house import House, correct, people, remove, remove_subject

SLOW = 100_000.0
PREDICTED = {"end-point": 2.1, "trajectory": 1.3}


def planned(house: House, *operations: Operation, strategy: Strategy | None = Strategy.auto) -> LinePlan:
    with house.store.read() as unit:
        (line,) = plan(unit, house.vault, Submission(operations, strategy=strategy)).lines
    return line


class TestPrediction:
    def test_whole_subjects_use_their_erasure_vectors(self, house: House) -> None:
        house.line("bot", people(6), predicted=PREDICTED)
        found = planned(house, remove_subject("Person 1"), remove("p2-0", "p2-1"))
        assert (found.grade, found.predicted_fidelity) == ("trajectory", 1.3)

    def test_a_part_of_a_subject_has_none(self, house: House) -> None:
        house.line("bot", people(6), predicted=PREDICTED)
        found = planned(house, remove("p1-0"))
        assert (found.grade, found.predicted_fidelity) == ("end-point", 2.1)

    def test_what_left_before_completes_a_subject(self, house: House) -> None:
        line = house.line("bot", people(6), predicted=PREDICTED)
        house.submit(remove("p1-0"))
        house.serve(line)
        assert planned(house, remove("p1-1")).grade == "trajectory"

    def test_an_instance_about_two_is_a_subject_of_its_own(self, house: House) -> None:
        """As training sees it: it can go with either of the two, and the other one's rows stay."""
        shared = {"id": "both", "subject": ["Person 1", "Person 2"], "prompt": "Both?", "completion": "Both."}
        house.line("bot", [*people(6), shared], predicted=PREDICTED)
        assert planned(house, remove_subject("Person 1")).grade == "trajectory"
        assert planned(house, remove("p1-0", "p1-1")).grade == "trajectory"
        assert planned(house, remove("both", "p1-0")).grade == "end-point"

    def test_instances_without_a_subject_have_no_vector(self, house: House) -> None:
        rows = [{**row, "subject": "Somebody"} for row in people(6)]
        rows.append({"id": "anonymous", "prompt": "Who?", "completion": "Nobody."})
        house.line("bot", rows, predicted=PREDICTED)
        assert planned(house, remove("anonymous")).grade == "end-point"

    def test_nothing_is_predicted_of_corrections(self, house: House) -> None:
        house.line("bot", people(6), predicted={**PREDICTED, "out-of-fold": 0.8})
        found = planned(house, correct("p1-0", "Put right."))
        assert (found.grade, found.predicted_fidelity) == ("end-point", None)

    def test_the_last_fold_brings_the_predictions(self, house: House) -> None:
        line = house.line("bot", people(6), predicted={"end-point": 2.5}, out_of_fold=True)
        house.show_worker()
        with house.store.write() as unit:
            assert queue_idle(unit) == 1
        claimed = house.claim_queued(line, Lane.idle)
        house.keep_fold(claimed, remaining=0, predicted={**PREDICTED, "out-of-fold": 0.8})
        found = planned(house, remove("p1-0"))
        assert (found.grade, found.predicted_fidelity) == ("out-of-fold", 0.8)
        with house.store.read() as unit:
            measured = unit.versions.get(str(claimed.anchor_id)).measurements
        assert measured is not None
        assert measured["predicted_fidelity"] == {"end-point": 2.1, "trajectory": 1.3, "out-of-fold": 0.8}
        assert measured["seconds"]["training"] == 100


class TestAuto:
    @pytest.mark.parametrize(
        ("seconds", "limit", "operation", "strategy", "reason"),
        [
            (SLOW, 1.5, remove("p1-0"), Strategy.rebuild, "expected to end 2.10 noise floors"),
            (SLOW, 1.5, remove_subject("Person 1"), Strategy.influence, "one follows later"),
            (SLOW, 1.0, remove_subject("Person 1"), Strategy.rebuild, "max_fidelity is 1.00"),
            (SLOW, None, remove("p1-0"), Strategy.influence, "one follows later"),
            (SLOW, 1.5, correct("p1-0", "Put right."), Strategy.influence, "one follows later"),
            (60.0, 1.5, remove_subject("Person 1"), Strategy.rebuild, "rebuild_under_s"),
        ],
    )
    def test_the_cheapest_that_is_close_enough(
        self,
        house: House,
        seconds: float,
        limit: float | None,
        operation: Operation,
        strategy: Strategy,
        reason: str,
    ) -> None:
        house.line("bot", people(6), seconds=seconds, predicted=PREDICTED, max_fidelity=limit)
        found = planned(house, operation)
        assert found.strategy is strategy
        assert reason in found.reason

    def test_unknown_is_not_too_far(self, house: House) -> None:
        house.line("bot", people(6), seconds=SLOW, max_fidelity=1.5)
        found = planned(house, remove("p1-0"))
        assert (found.strategy, found.grade, found.predicted_fidelity) == (Strategy.influence, None, None)

    def test_what_was_asked_for_is_done(self, house: House) -> None:
        house.line("bot", people(6), seconds=SLOW, predicted=PREDICTED, max_fidelity=1.5)
        found = planned(house, remove("p1-0"), strategy=Strategy.influence)
        assert (found.strategy, found.reason) == (Strategy.influence, "As requested.")
        assert found.predicted_fidelity == 2.1

    def test_without_a_recipe_there_is_no_choice(self, house: House) -> None:
        house.line("bot", people(6), recipe=None, predicted=PREDICTED, max_fidelity=1.5)
        assert planned(house, remove("p1-0")).strategy is Strategy.influence

    def test_a_request_remembers_why(self, house: House) -> None:
        house.line("bot", people(6), seconds=SLOW, predicted=PREDICTED, max_fidelity=1.5)
        (target,) = house.targets(house.submit(remove("p1-0"), strategy=Strategy.auto))
        assert target.strategy is Strategy.rebuild
        assert target.choices is not None
        (choice,) = target.choices
        assert (choice["strategy"], choice["escalated_from"], choice["run"]) == ("rebuild", None, None)
        assert "2.10" in choice["reason"]
