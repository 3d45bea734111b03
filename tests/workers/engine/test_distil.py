"""A few steps bring predictions closer to their targets, and new contents closer to the training level."""

import pytest
import torch

from service.domain.engine import TrainingSet
from tests.workers.engine.small_data import encode_all
from workers.engine.distil import Lesson, distil
from workers.engine.evaluation import adapter_losses
from workers.engine.losses import label_logits
from workers.engine.out_of_fold import top_predictions
from workers.engine.resident import Resident
from workers.engine.tokens import Tokens, collate
from workers.engine.top_predictions import TopPredictions, joined


@pytest.fixture
def tokens(resident: Resident, data: TrainingSet) -> list[Tokens]:
    encoded = encode_all(resident, data)
    return [encoded[example.id] for example in data.examples]


@pytest.fixture
def anchor(resident: Resident) -> torch.Tensor:
    resident.initialise(1)
    generator = torch.Generator().manual_seed(0)
    return resident.parameters.get() + 0.1 * torch.randn(resident.parameters.size, generator=generator)


@pytest.fixture
def targets(resident: Resident, tokens: list[Tokens], anchor: torch.Tensor) -> list[TopPredictions]:
    """What the bare base predicts for the first six."""
    resident.parameters.set(torch.zeros_like(anchor))
    return top_predictions(resident, tokens[:6])


@torch.no_grad()
def apart(resident: Resident, weights: torch.Tensor, tokens: list[Tokens], targets: list[TopPredictions]) -> float:
    resident.parameters.set(weights)
    logits, _ = label_logits(resident.model, collate(tokens, resident.pad_id))
    return float(joined(targets).kl(logits.log_softmax(-1)).mean())


def run(resident: Resident, lesson: Lesson, steps: int = 6) -> torch.Tensor:
    return distil(resident, lesson, start=lesson.anchor, second_moments=None, steps=steps, learning_rate=3e-3, seed=0)


def test_the_forgotten_come_closer_to_their_targets(
    resident: Resident, tokens: list[Tokens], anchor: torch.Tensor, targets: list[TopPredictions]
) -> None:
    after = run(resident, Lesson(tokens[:6], targets, [], 0.0, tokens[6:], anchor))
    assert apart(resident, after, tokens[:6], targets) < apart(resident, anchor, tokens[:6], targets)


def test_the_retained_are_held(
    resident: Resident, tokens: list[Tokens], anchor: torch.Tensor, targets: list[TopPredictions]
) -> None:
    resident.parameters.set(anchor)
    own = top_predictions(resident, tokens[6:])
    held = run(resident, Lesson(tokens[:6], targets, [], 0.0, tokens[6:], anchor))
    loose = run(resident, Lesson(tokens[:6], targets, [], 0.0, [], anchor))
    assert apart(resident, held, tokens[6:], own) < apart(resident, loose, tokens[6:], own)


def test_new_contents_are_taught(resident: Resident, tokens: list[Tokens], anchor: torch.Tensor) -> None:
    after = run(resident, Lesson([], [], tokens[:6], 0.1, tokens[6:], anchor))
    resident.parameters.set(anchor)
    before = adapter_losses(resident, tokens[:6]).mean()
    resident.parameters.set(after)
    assert adapter_losses(resident, tokens[:6]).mean() < before


def test_contents_below_the_level_are_left_alone(
    resident: Resident, tokens: list[Tokens], anchor: torch.Tensor
) -> None:
    assert torch.equal(run(resident, Lesson([], [], tokens[:6], 1e3, [], anchor)), anchor)


def test_micro_batches_do_not_change_the_step(
    resident: Resident, tokens: list[Tokens], anchor: torch.Tensor, targets: list[TopPredictions]
) -> None:
    lesson = Lesson(tokens[:6], targets, tokens[6:9], 0.1, tokens[9:], anchor)
    whole = run(resident, lesson, steps=1)
    resident.micro_batch.size = 4
    assert torch.allclose(run(resident, lesson, steps=1), whole, atol=1e-4)


def test_moments_of_training_make_large_curvature_small_steps(
    resident: Resident, tokens: list[Tokens], anchor: torch.Tensor, targets: list[TopPredictions]
) -> None:
    after = distil(
        resident,
        Lesson(tokens[:6], targets, [], 0.0, [], anchor),
        start=anchor,
        second_moments=torch.full_like(anchor, 1e12),
        steps=2,
        learning_rate=3e-3,
        seed=0,
    )
    assert torch.allclose(after, anchor, atol=1e-6)
