"""Teaching new contents and polishing, on a small trained adapter; predictions against plain formulas."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from service.domain.adapters import Recipe
from service.domain.engine import TrainingSet
from tests.workers.engine.small_data import encode_all, ignore_progress, never
from workers.engine.corrections import teach
from workers.engine.curvature import Curvature
from workers.engine.evaluation import adapter_losses
from workers.engine.fisher import fisher_rows
from workers.engine.losses import label_logits
from workers.engine.polish import STEP_COST, Contents, affordable_steps, polish
from workers.engine.predictions import shift
from workers.engine.resident import Resident
from workers.engine.solve import woodbury
from workers.engine.tokens import Tokens, collate, encode
from workers.engine.training import train


@pytest.fixture
def trained(resident: Resident, data: TrainingSet, recipe: Recipe, tmp_path: Path) -> Tensor:
    train(
        resident,
        data,
        recipe.model_copy(update={"epochs": 25}),
        encode_all(resident, data),
        checkpoint=tmp_path,
        progress=ignore_progress,
        should_yield=never,
    )
    return resident.parameters.get()


@pytest.fixture
def retained(resident: Resident, data: TrainingSet) -> list[Tokens]:
    return [encode(resident.tokenizer, example.content, data.format) for example in data.examples[1:]]


@pytest.fixture
def correction(resident: Resident, data: TrainingSet) -> Tokens:
    return encode(resident.tokenizer, data.examples[0].content.with_completion("hgfe"), data.format)


def curvature(resident: Resident, tokens: list[Tokens]) -> Curvature:
    generator = torch.Generator().manual_seed(0)
    rows = torch.cat(list(fisher_rows(resident, tokens, [1 / len(tokens)] * len(tokens), generator)))
    return Curvature.of(rows, torch.full((resident.parameters.size,), 1e-3))


def mean_loss(resident: Resident, tokens: list[Tokens], weights: Tensor) -> float:
    resident.parameters.set(weights)
    return float(adapter_losses(resident, tokens).mean())


def test_new_content_is_taught_at_little_cost_to_the_rest(
    resident: Resident, trained: Tensor, retained: list[Tokens], correction: Tokens
) -> None:
    level = mean_loss(resident, retained, trained)
    before = mean_loss(resident, [correction], trained)
    taught = teach(resident, curvature(resident, retained), trained, [correction], level, solver=woodbury)
    learnt = before - mean_loss(resident, [correction], taught.parameters)
    lost = mean_loss(resident, retained, taught.parameters) - level
    assert learnt > 0.8 * (before - level)
    assert lost < 0.25 * learnt
    assert len(taught.ratios) == taught.steps


def test_the_curvature_spares_the_rest_better_than_the_plain_gradient(
    resident: Resident, trained: Tensor, retained: list[Tokens], correction: Tokens
) -> None:
    level = mean_loss(resident, retained, trained)
    lost = {}
    for name, multiplier in (("curvature", 1.0), ("gradient", 1e6)):
        resident.parameters.set(trained)
        operator = curvature(resident, retained).damped(multiplier)
        taught = teach(resident, operator, trained, [correction], level, solver=woodbury)
        lost[name] = mean_loss(resident, retained, taught.parameters) - level
    assert lost["curvature"] < lost["gradient"]


def test_what_is_known_already_is_left_alone(resident: Resident, trained: Tensor, retained: list[Tokens]) -> None:
    taught = teach(resident, curvature(resident, retained), trained, retained[:2], 100.0, solver=woodbury)
    assert taught.steps == 0
    assert torch.equal(taught.parameters, trained)
    assert teach(resident, curvature(resident, retained), trained, [], 0.0, solver=woodbury).steps == 0


def test_the_polish_draws_forgotten_instances_to_the_teacher(
    resident: Resident, trained: Tensor, retained: list[Tokens]
) -> None:
    resident.initialise(seed=1)
    teacher = resident.parameters.get()  # an adapter that knows nothing
    contents = Contents(retained[3:], retained[:3], [], 0.0)
    polished = polish(resident, contents, start=trained, teacher=teacher, steps=20, learning_rate=3e-3, seed=0)
    before, after = (shift(resident, retained[:3], teacher, weights) for weights in (trained, polished))
    assert after.divergence < 0.8 * before.divergence


def test_the_polish_is_a_function_of_its_seed(resident: Resident, trained: Tensor, retained: list[Tokens]) -> None:
    contents = Contents(retained[3:], retained[:3], [], 0.0)

    def run(seed: int) -> Tensor:
        return polish(resident, contents, start=trained, teacher=trained, steps=3, learning_rate=1e-3, seed=seed)

    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))


def test_no_budget_means_no_polish(resident: Resident, trained: Tensor, retained: list[Tokens]) -> None:
    assert affordable_steps(STEP_COST - 0.1) == 0
    contents = Contents(retained, [], [], 0.0)
    untouched = polish(resident, contents, start=trained, teacher=trained, steps=0, learning_rate=1e-3, seed=0)
    assert torch.equal(untouched, trained)


def test_a_shift_is_losses_and_divergence_by_the_plain_formulas(
    resident: Resident, trained: Tensor, retained: list[Tokens]
) -> None:
    resident.initialise(seed=1)
    start, chosen = resident.parameters.get(), retained[:4]
    found = shift(resident, chosen, start, trained)
    divergences = []
    for tokens in chosen:
        logprobs = []
        for weights in (start, trained):
            resident.parameters.set(weights)
            with torch.no_grad():
                logits, _ = label_logits(resident.model, collate([tokens], resident.pad_id))
            logprobs.append(logits.log_softmax(-1))
        p, q = logprobs
        divergences.append(float((p.exp() * (p - q)).sum(-1).mean()))
    assert found.divergence == pytest.approx(sum(divergences) / 4, rel=1e-4)
    assert found.before == pytest.approx(mean_loss(resident, chosen, start), rel=1e-4)
    assert found.after == pytest.approx(mean_loss(resident, chosen, trained), rel=1e-4)
