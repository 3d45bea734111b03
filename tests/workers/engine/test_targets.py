"""What a ledger asks for: an aim a side, how strongly, and how unlikely the forgotten labels are to become."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from service.domain.adapters import Recipe
from service.domain.engine import TrainingSet
from tests.workers.engine.small_data import encode_all, ignore_progress, never
from workers.engine.calibration import Calibration
from workers.engine.curvature import Curvature
from workers.engine.evaluation import adapter_losses, base_losses
from workers.engine.losses import label_ids
from workers.engine.never_seen import NeverSeenLevel
from workers.engine.preparation import Preparation
from workers.engine.resident import Resident
from workers.engine.right_hand_side import Change
from workers.engine.sketch import Sketch
from workers.engine.targets import OLD_SIDE_WEIGHT, PAST, TAUGHT_SHARE, Aims, aims_of
from workers.engine.teachers import Teachers
from workers.engine.tokens import Tokens, collate, encode
from workers.engine.training import train

# Far above what random weights give away, so that there is a way to go.
LEVEL = NeverSeenLevel(intercept=9.0, slope=0.2, deviation=0.1)


@pytest.fixture
def anchor(resident: Resident) -> Tensor:
    return 0.2 * torch.randn(resident.parameters.size, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def tokens(resident: Resident, data: TrainingSet) -> list[Tokens]:
    encoded = encode_all(resident, data)
    return [encoded[example.id] for example in data.examples]


@pytest.fixture
def removal(tokens: list[Tokens]) -> Change:
    return Change("row-0", 0.02, tokens[0], None)


@pytest.fixture
def reworded(resident: Resident, data: TrainingSet, tokens: list[Tokens]) -> Change:
    new = encode(resident.tokenizer, data.examples[1].content.with_prompt("row one:"), data.format)
    return Change("row-1", 0.02, tokens[1], new)


@pytest.fixture
def correction(resident: Resident, data: TrainingSet, tokens: list[Tokens]) -> Change:
    new = encode(resident.tokenizer, data.examples[2].content.with_completion("hgfe"), data.format)
    return Change("row-2", 0.02, tokens[2], new)


def preparation(size: int, level: NeverSeenLevel | None = LEVEL) -> Preparation:
    sketch = Sketch(Curvature.of(torch.zeros(1, size), torch.ones(size)), ("row-0",), 1)
    return Preparation(sketch, Calibration(0.5, None, None, measured=True), 0.4, 9.0, level)


def asked(resident: Resident, anchor: Tensor, *changes: Change, level: NeverSeenLevel | None = LEVEL) -> Aims:
    teachers = Teachers([0.5 * anchor], {}, None)
    return aims_of(resident, preparation(len(anchor), level), teachers, changes, anchor)


def test_the_removed_are_forgotten_at_full_weight(resident: Resident, anchor: Tensor, removal: Change) -> None:
    found = asked(resident, anchor, removal)
    assert [(aim.tokens, aim.weight) for aim in found.forgotten] == [(removal.old, 1.0)]
    assert found.removed == [removal.old]
    assert not found.taught


def test_another_prompt_is_taught_and_the_old_one_forgotten_at_less(
    resident: Resident, anchor: Tensor, reworded: Change
) -> None:
    found = asked(resident, anchor, reworded)
    assert [(aim.tokens, aim.weight) for aim in found.forgotten] == [(reworded.old, OLD_SIDE_WEIGHT)]
    assert [aim.tokens for aim in found.taught] == [reworded.new]
    assert not found.removed


def test_a_correction_is_taught_and_takes_the_place_of_the_old(
    resident: Resident, anchor: Tensor, correction: Change
) -> None:
    found = asked(resident, anchor, correction)
    assert not found.forgotten
    assert [aim.tokens for aim in found.taught] == [correction.new]
    assert (found.before, found.never_seen) == (None, None)


def test_what_is_taught_is_to_be_known_better_than_training_data(
    resident: Resident, anchor: Tensor, reworded: Change, correction: Change
) -> None:
    found = asked(resident, anchor, reworded, correction)
    assert [aim.level for aim in found.taught] == [pytest.approx(TAUGHT_SHARE * 0.4)] * 2


def test_a_mixture_has_an_aim_a_side(
    resident: Resident, anchor: Tensor, removal: Change, reworded: Change, correction: Change
) -> None:
    found = asked(resident, anchor, removal, reworded, correction)
    assert [aim.tokens for aim in found.every] == [removal.old, reworded.old, reworded.new, correction.new]


def label_loss(aims: Aims) -> float:
    """The mean over instances of the mean surprise of their labels under the targets."""
    means = [aim.target.surprise(label_ids(collate([aim.tokens], 0))).mean() for aim in aims.forgotten]
    return float(torch.stack(means).mean())


def test_the_targets_are_past_the_never_seen_level(
    resident: Resident, data: TrainingSet, recipe: Recipe, tokens: list[Tokens], tmp_path: Path
) -> None:
    encoded = encode_all(resident, data)
    train(resident, data, recipe, encoded, checkpoint=tmp_path, progress=ignore_progress, should_yield=never)
    anchor, chosen = resident.parameters.get(), tokens[:4]
    before = float(adapter_losses(resident, chosen).mean())
    near = NeverSeenLevel(intercept=before + 2.0, slope=0.0, deviation=0.1)
    removals = [Change(f"row-{index}", 0.02, old, None) for index, old in enumerate(chosen)]
    found = aims_of(resident, preparation(len(anchor), near), Teachers([anchor], {}, None), removals, anchor)
    assert found.before == pytest.approx(before)
    assert found.never_seen == pytest.approx(before + 2.0)
    assert label_loss(found) == pytest.approx(before + PAST * 2.0, abs=1e-2)


def test_without_a_holdout_the_base_is_the_level(resident: Resident, anchor: Tensor, removal: Change) -> None:
    found = asked(resident, anchor, removal, level=None)
    assert found.never_seen == pytest.approx(float(base_losses(resident, [removal.old]).mean()))


def test_what_is_no_better_known_than_the_never_seen_is_left_to_the_teachers(
    resident: Resident, anchor: Tensor, removal: Change
) -> None:
    found = asked(resident, anchor, removal, level=NeverSeenLevel(0.0, 0.0, 0.1))
    (aim,) = found.forgotten
    (taught,) = Teachers([0.5 * anchor], {}, None).predict(resident, [removal])
    assert found.before is not None
    if label_loss(found) >= found.before:
        assert torch.equal(aim.target.logprobs, taught.logprobs)


def test_an_empty_ledger_asks_for_nothing(resident: Resident, anchor: Tensor) -> None:
    assert asked(resident, anchor).every == []


def test_what_the_way_of_the_removed_is_measured_on_is_the_removed_alone(
    resident: Resident, anchor: Tensor, removal: Change, reworded: Change
) -> None:
    assert asked(resident, anchor, removal, reworded).before == pytest.approx(asked(resident, anchor, removal).before)
