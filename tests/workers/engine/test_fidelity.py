"""Distances to out-of-fold predictions in units of their own, by hand."""

from statistics import fmean

import pytest
import torch
from torch import Tensor

from service.domain.engine import TrainingSet
from tests.workers.engine.small_data import encode_all
from workers.engine.fidelity import distance, floor, measured_fidelity
from workers.engine.losses import label_logits
from workers.engine.out_of_fold import OutOfFold, top_predictions
from workers.engine.resident import Resident
from workers.engine.right_hand_side import Change
from workers.engine.tokens import collate
from workers.engine.top_predictions import TopPredictions

VOCABULARY = 259


@pytest.fixture
def removed(resident: Resident, data: TrainingSet) -> list[Change]:
    tokens = encode_all(resident, data)
    return [Change(example.id, 1 / 36, tokens[example.id], None) for example in data.examples[:3]]


def weights(resident: Resident, seed: int) -> Tensor:
    return 0.3 * torch.randn(resident.parameters.size, generator=torch.Generator().manual_seed(seed))


def predicted(resident: Resident, removed: list[Change], seed: int) -> list[TopPredictions]:
    resident.parameters.set(weights(resident, seed))
    return top_predictions(resident, [change.old for change in removed])


def folds(resident: Resident, removed: list[Change], *seeds: int) -> OutOfFold:
    """What adapters of these seeds predict, a partition each."""
    several = [predicted(resident, removed, seed) for seed in seeds]
    return OutOfFold(
        {change.instance_id: found for change, *found in zip(removed, *several, strict=True)},  # type: ignore[misc]
        VOCABULARY,
    )


def apart(one: list[TopPredictions], other: list[TopPredictions]) -> float:
    """Mean over instances of the mean divergence of their positions."""
    return fmean(float(a.kl(b.spread(VOCABULARY)).mean()) for a, b in zip(one, other, strict=True))


def test_the_floor_is_how_far_two_partitions_are_apart_both_ways(resident: Resident, removed: list[Change]) -> None:
    one, other = predicted(resident, removed, 1), predicted(resident, removed, 2)
    expected = (apart(one, other) + apart(other, one)) / 2
    assert floor(removed, folds(resident, removed, 1, 2)) == pytest.approx(expected, rel=1e-5)


def seen(resident: Resident, removed: list[Change], references: list[TopPredictions], seed: int) -> float:
    """Mean divergence from the references of what the adapter of this seed predicts, cut off as stored ones are."""
    resident.parameters.set(weights(resident, seed))
    found = []
    for change, reference in zip(removed, references, strict=True):
        with torch.no_grad():
            logits, _ = label_logits(resident.model, collate([change.old], resident.pad_id))
        present = TopPredictions.of(logits.log_softmax(-1)).spread(VOCABULARY)
        found.append(float(reference.kl(present).mean()))
    return fmean(found)


def test_it_is_the_distances_to_both_over_theirs_from_each_other(resident: Resident, removed: list[Change]) -> None:
    one, other = predicted(resident, removed, 1), predicted(resident, removed, 2)
    both = seen(resident, removed, one, 3) + seen(resident, removed, other, 3)
    found = measured_fidelity(resident, removed, folds(resident, removed, 1, 2), weights(resident, 3))
    assert found == pytest.approx(both / (apart(one, other) + apart(other, one)), rel=1e-4)


def test_a_folds_own_adapter_is_only_as_far_as_the_other_fold(resident: Resident, removed: list[Change]) -> None:
    one, other = predicted(resident, removed, 1), predicted(resident, removed, 2)
    found = measured_fidelity(resident, removed, folds(resident, removed, 1, 2), weights(resident, 1))
    expected = seen(resident, removed, other, 1) / (apart(one, other) + apart(other, one))
    assert found == pytest.approx(expected, rel=1e-3)
    assert expected < 0.75


def test_a_folds_own_adapter_is_judged_as_its_stored_predictions_are(
    resident: Resident, removed: list[Change]
) -> None:
    """Adapter 1 is as far from fold 2 as fold 1 is: the same predictions, stored or not."""
    one, other = predicted(resident, removed, 1), predicted(resident, removed, 2)
    found = measured_fidelity(resident, removed, folds(resident, removed, 1, 2), weights(resident, 1))
    assert found == pytest.approx(apart(other, one) / (apart(one, other) + apart(other, one)), rel=0.05)


def test_the_distance_to_ones_own_predictions_is_none(resident: Resident, removed: list[Change]) -> None:
    assert distance(resident, removed, folds(resident, removed, 1), weights(resident, 1)) < 1e-5


def test_the_weights_are_left_in_place(resident: Resident, removed: list[Change]) -> None:
    distance(resident, removed, folds(resident, removed, 1), weights(resident, 4))
    assert torch.equal(resident.parameters.get(), weights(resident, 4))


@pytest.mark.parametrize("seeds", [(), (1,)])
def test_with_fewer_than_two_partitions_nothing_is_measured(
    resident: Resident, removed: list[Change], seeds: tuple[int, ...]
) -> None:
    found = folds(resident, removed, *seeds) if seeds else OutOfFold({}, VOCABULARY)
    assert floor(removed, found) is None
    assert measured_fidelity(resident, removed, found, weights(resident, 1)) is None


def test_one_instance_without_a_second_is_enough_to_measure_nothing(resident: Resident, removed: list[Change]) -> None:
    both = folds(resident, removed, 1, 2)
    partly = OutOfFold({**both.found, removed[1].instance_id: both.found[removed[1].instance_id][:1]}, VOCABULARY)
    assert measured_fidelity(resident, removed, partly, weights(resident, 1)) is None


def test_without_anything_removed_or_folds_there_is_no_unit(resident: Resident, removed: list[Change]) -> None:
    assert measured_fidelity(resident, [], folds(resident, removed, 1, 2), weights(resident, 1)) is None
    assert measured_fidelity(resident, removed, None, weights(resident, 1)) is None


def test_partitions_that_agree_are_no_unit(resident: Resident, removed: list[Change]) -> None:
    """As stored, in half precision, a prediction is a little away from itself: rounding is no distance."""
    stored = [
        TopPredictions(one.tokens, one.logprobs.half().float(), one.rest.half().float())
        for one in predicted(resident, removed, 1)
    ]
    same = OutOfFold({change.instance_id: (one, one) for change, one in zip(removed, stored, strict=True)}, VOCABULARY)
    assert floor(removed, same) is None
    assert measured_fidelity(resident, removed, same, weights(resident, 2)) is None
