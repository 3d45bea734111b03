"""Mending: what the steps disturbed comes back towards the training level, and nothing else is asked for."""

import pytest
import torch
from torch import Tensor

from tests.workers.engine.small_data import INSTANCES
from workers.engine.evaluation import adapter_losses
from workers.engine.mend import BATCH, mend
from workers.engine.resident import Resident
from workers.engine.tokens import Tokens


@pytest.fixture
def start(small: Resident) -> Tensor:
    return small.parameters.get()


def level_at(resident: Resident, tokens: list[Tokens], weights: Tensor) -> float:
    resident.parameters.set(weights)
    return float(adapter_losses(resident, tokens).mean())


def test_the_loss_comes_down_to_the_level(small: Resident, start: Tensor) -> None:
    retained, metric = list(INSTANCES), torch.ones_like(start)
    before = level_at(small, retained, start)
    level = 0.97 * before
    mended = mend(small, retained, metric, level, start, steps=6)
    assert level_at(small, retained, mended) == pytest.approx(level, rel=0.01)


def test_what_is_at_its_level_is_left_alone(small: Resident, start: Tensor) -> None:
    level = level_at(small, list(INSTANCES), start) + 0.1
    assert torch.equal(mend(small, INSTANCES, torch.ones_like(start), level, start, steps=6), start)


@pytest.mark.parametrize(("retained", "steps"), [((), 6), (INSTANCES, 0)])
def test_without_instances_or_steps_nothing_moves(
    small: Resident, start: Tensor, retained: tuple[Tokens, ...], steps: int
) -> None:
    assert torch.equal(mend(small, retained, torch.ones_like(start), 0.0, start, steps=steps), start)


def test_a_step_is_along_the_gradient_in_the_metric(small: Resident, start: Tensor) -> None:
    """Where the metric is endless nothing moves."""
    metric = torch.ones_like(start)
    metric[: len(start) // 2] = 1e30
    moved = mend(small, INSTANCES, metric, 0.9 * level_at(small, list(INSTANCES), start), start, steps=1) - start
    assert float(moved[: len(start) // 2].abs().max()) < 1e-20
    assert bool(moved[len(start) // 2 :].any())


def test_steps_go_through_the_instances_batch_by_batch(small: Resident, start: Tensor) -> None:
    """The second of two steps sees other instances than the first."""
    known, other = [INSTANCES[0]] * BATCH, [INSTANCES[1]] * BATCH
    metric = torch.ones_like(start)
    level = 0.9 * min(level_at(small, known, start), level_at(small, other, start))
    first = mend(small, known, metric, level, start, steps=1)
    both = mend(small, [*known, *other], metric, level, start, steps=2)
    assert level_at(small, other, both) < level_at(small, other, first)
