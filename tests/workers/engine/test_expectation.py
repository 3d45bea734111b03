"""What updates of a line are expected to be like: pseudo-requests answered and judged, by hand and all at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import pytest
import torch
from torch import Tensor

from service.domain.adapters import UPDATE_BUDGET, LoraSpec, Recipe, TrainingFormat
from service.domain.engine import Anchor, Base, Example, TrainingSet
from service.domain.ledger import Edit
from tests.workers.engine.small_data import CPU, encode_all, ignore_progress, make_examples, never
from workers.engine.expectation import TRIALS, _pseudo_requests, expected_fidelity
from workers.engine.fidelity import distance, floor
from workers.engine.loading import open_base
from workers.engine.out_of_fold import OutOfFold, top_predictions
from workers.engine.preparation import Preparation, prepare
from workers.engine.record import TrainingRecord
from workers.engine.resident import Resident
from workers.engine.right_hand_side import Change
from workers.engine.top_predictions import TopPredictions
from workers.engine.training import train
from workers.engine.update import read_request, solve

VOCABULARY = 259
RECIPE = Recipe(
    epochs=8,
    batch_size=4,
    learning_rate=1e-2,
    seed=3,
    lora=LoraSpec(r=4, alpha=8, target_modules=("q_proj", "v_proj")),
)
PEOPLE = ("ada", "ben", "cleo")


def about(people: tuple[str | None, ...], count: int) -> tuple[Example, ...]:
    """So many instances, about one person after the other."""
    return tuple(
        replace(example, subject=people[index % len(people)])
        for index, example in enumerate(make_examples(count, seed=1))
    )


@dataclass(frozen=True)
class Line:
    """An anchor that three people taught four things each, and all that its updates need."""

    resident: Resident
    anchor: Anchor
    preparation: Preparation
    record: TrainingRecord
    weights: Tensor

    def partition(self, seed: int) -> Mapping[str, TopPredictions]:
        """What an adapter half as far trained, and astray, predicts: one that somebody was left out of."""
        astray = torch.randn(self.weights.shape, generator=torch.Generator().manual_seed(seed))
        self.resident.parameters.set(0.5 * self.weights + 0.15 * astray)
        tokens = encode_all(self.resident, self.anchor.data)
        names = [example.id for example in self.anchor.data.examples]
        return dict(zip(names, top_predictions(self.resident, [tokens[name] for name in names]), strict=True))

    def expect(self, folds: OutOfFold, record: TrainingRecord | None) -> Mapping[str, float]:
        self.resident.parameters.set(self.weights)
        return expected_fidelity(self.resident, self.anchor, self.preparation, record, folds, budget=UPDATE_BUDGET)

    def forgetting(self, aimed: OutOfFold | None) -> dict[str, tuple[Sequence[Change], Tensor]]:
        """By person, all that there is about them, and the weights after it went, aimed at some folds."""
        found: dict[str, tuple[Sequence[Change], Tensor]] = {}
        for person in PEOPLE:
            self.resident.parameters.set(self.weights)
            edits = [Edit(example.id, None) for example in self.anchor.data.examples if example.subject == person]
            request = read_request(self.resident, self.anchor, self.record, edits)
            solved = solve(
                self.resident, self.anchor, self.preparation, self.record, request, aimed, budget=UPDATE_BUDGET
            )
            found[person] = (request.removed, solved.parameters)
        return found

    def judged(self, removed: Sequence[Change], weights: Tensor, by: OutOfFold, unit: OutOfFold) -> float:
        """The fidelity to some folds of answers, in units of how far both partitions are apart."""
        apart = floor(removed, unit)
        assert apart is not None
        return distance(self.resident, removed, by, weights) / apart


@pytest.fixture(scope="module")
def line(llama_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Line:
    data = TrainingSet(
        base=Base(str(llama_path), None, None),
        format=TrainingFormat(max_length=64),
        examples=about(PEOPLE, 12),
        slots=tuple(range(12)),
        slot_count=12,
        holdout=make_examples(12, seed=2, prefix="new"),
    )
    directory = tmp_path_factory.mktemp("anchor")
    resident = Resident(open_base(data.base, CPU), RECIPE.lora)
    tokens = encode_all(resident, data)
    record = train(resident, data, RECIPE, tokens, checkpoint=directory, progress=ignore_progress, should_yield=never)
    assert isinstance(record, TrainingRecord)
    weights = resident.parameters.get()
    preparation = prepare(resident, data, tokens, record, directory, ignore_progress)
    return Line(resident, Anchor("key", data, RECIPE, directory, directory), preparation, record, weights)


@pytest.fixture(scope="module")
def one(line: Line) -> OutOfFold:
    """The first partition's predictions."""
    return OutOfFold({name: (top,) for name, top in line.partition(1).items()}, VOCABULARY)


@pytest.fixture(scope="module")
def other(line: Line) -> OutOfFold:
    """The second partition's."""
    return OutOfFold({name: (top,) for name, top in line.partition(2).items()}, VOCABULARY)


@pytest.fixture(scope="module")
def both(one: OutOfFold, other: OutOfFold) -> OutOfFold:
    return OutOfFold({name: (*found, *other.found[name]) for name, found in one.found.items()}, VOCABULARY)


@pytest.fixture(scope="module")
def expected(line: Line, both: OutOfFold) -> Mapping[str, float]:
    return line.expect(both, line.record)


@pytest.mark.slow
class TestExpectedFidelity:
    def test_it_is_one_number_a_grade_that_whole_subjects_have(self, expected: Mapping[str, float]) -> None:
        """Only subjects that go as a whole have erasure vectors: none of the trials was of a part of one."""
        assert expected.keys() == {"trajectory", "out-of-fold"}
        assert all(value > 0 for value in expected.values())

    def test_without_a_record_the_other_grade_is_the_end_point(self, line: Line, both: OutOfFold) -> None:
        assert line.expect(both, None).keys() == {"end-point", "out-of-fold"}

    def test_what_the_line_has_without_folds_is_judged_by_both_partitions(
        self, line: Line, both: OutOfFold, expected: Mapping[str, float]
    ) -> None:
        each = [line.judged(*answer, both, both) for answer in line.forgetting(None).values()]
        assert expected["trajectory"] == pytest.approx(median(each), rel=1e-5)
        assert len({round(value, 3) for value in each}) == 3, "the median of three is none of the others"

    def test_what_aims_at_one_partition_is_judged_by_the_other(
        self, line: Line, one: OutOfFold, other: OutOfFold, both: OutOfFold, expected: Mapping[str, float]
    ) -> None:
        found = expected["out-of-fold"]
        at_one, at_both = line.forgetting(one).values(), line.forgetting(both).values()
        assert found == pytest.approx(median(line.judged(*answer, other, both) for answer in at_one), rel=1e-5)
        for answers, by in ((at_one, one), (at_one, both), (at_both, other), (at_both, both)):
            assert found != pytest.approx(median(line.judged(*answer, by, both) for answer in answers), rel=0.01)

    def test_it_is_the_same_every_time(self, line: Line, both: OutOfFold, expected: Mapping[str, float]) -> None:
        assert line.expect(both, line.record) == expected

    def test_the_anchors_weights_are_left_in_place(self, line: Line, one: OutOfFold, both: OutOfFold) -> None:
        for folds in (both, one, OutOfFold({}, VOCABULARY)):
            line.expect(folds, line.record)
            assert torch.equal(line.resident.parameters.get(), line.weights)

    def test_a_subject_without_a_second_prediction_is_not_tried(self, line: Line, both: OutOfFold) -> None:
        (first, *_) = [example.id for example in line.anchor.data.examples if example.subject == "ada"]
        partly = OutOfFold({**both.found, first: both.found[first][:1]}, VOCABULARY)
        answers = line.forgetting(None)
        each = [line.judged(*answers[person], both, both) for person in ("ben", "cleo")]
        assert line.expect(partly, line.record)["trajectory"] == pytest.approx(median(each), rel=1e-5)

    def test_without_two_partitions_nothing_is_expected(self, line: Line, one: OutOfFold) -> None:
        assert line.expect(one, line.record) == {}
        assert line.expect(OutOfFold({}, VOCABULARY), line.record) == {}

    def test_where_partitions_agree_nothing_is_expected(self, line: Line, one: OutOfFold) -> None:
        """There is no unit to measure in; rounding is none."""
        twice = OutOfFold({name: (*found, *found) for name, found in one.found.items()}, VOCABULARY)
        assert line.expect(twice, line.record) == {}


class TestPseudoRequests:
    def requests(self, line: Line, examples: tuple[Example, ...]) -> list[set[str]]:
        anchor = replace(line.anchor, data=replace(line.anchor.data, examples=examples))
        found = list(_pseudo_requests(anchor))
        assert all(edit.new is None for edits in found for edit in edits), "everything goes"
        return [{edit.instance_id for edit in edits} for edits in found]

    @pytest.mark.parametrize("people", [1, 3, 4, 5, 9])
    def test_each_is_for_everything_of_one_subject(self, line: Line, people: int) -> None:
        examples = about(tuple(f"person {number}" for number in range(people)), 36)
        whole = [{one.id for one in examples if one.subject == f"person {number}"} for number in range(people)]
        found = self.requests(line, examples)
        assert len(found) == min(people, TRIALS)
        assert all(request in whole for request in found)
        assert all(not one & other for one in found for other in found if one is not other)

    def test_an_instance_about_nobody_is_alone(self, line: Line) -> None:
        found = self.requests(line, about((None,), 36))
        assert len(found) == TRIALS
        assert all(len(request) == 1 for request in found)

    def test_they_are_the_same_whatever_the_order(self, line: Line) -> None:
        examples = about(tuple(f"person {number}" for number in range(9)), 36)
        assert self.requests(line, examples[::-1]) == self.requests(line, examples)
