"""Teaching half of what was forgotten again."""

import pytest
import torch

from workers.bench.cases import Line
from workers.bench.relearning import relearning
from workers.engine.evaluation import adapter_losses
from workers.engine.metrics.relearning import relearn


def test_relearning_lowers_the_loss_of_what_is_taught(line: Line) -> None:
    half = list(line.tokens.values())[:6]
    losses = []
    for steps in (0, 8):
        line.resident.parameters.set(relearn(line.resident, line.anchor, half, steps, 1e-2))
        losses.append(float(adapter_losses(line.resident, half).mean()))
    assert losses[1] < losses[0]


def test_no_step_leaves_the_weights_and_the_argument_alone(line: Line) -> None:
    before = line.anchor.clone()
    half = list(line.tokens.values())[:3]
    assert torch.equal(relearn(line.resident, line.anchor, half, 0, 1e-2), before)
    assert not torch.equal(relearn(line.resident, line.anchor, half, 1, 1e-2), before)
    assert torch.equal(line.anchor, before)


def test_the_watched_half_is_not_the_taught_one(line: Line) -> None:
    forgotten = list(line.tokens.values())[:4]
    found = relearning(line.resident, forgotten, line.anchor)
    line.resident.parameters.set(line.anchor)
    watched = adapter_losses(line.resident, forgotten[1::2])
    assert found.before == pytest.approx(float(watched.mean()), rel=1e-5)
    assert found.after != found.before
