"""The right-hand side against finite differences of the training objective, and where its weights come from."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from service.domain.adapters import LoraSpec, Recipe
from service.domain.engine import Base, TrainingSet
from tests.workers.engine.small_data import CPU, encode_all, ignore_progress, never
from workers.engine.loading import open_base
from workers.engine.losses import mean_losses
from workers.engine.record import TrainingRecord
from workers.engine.resident import Resident
from workers.engine.right_hand_side import Change, instance_weights, right_hand_side
from workers.engine.tokens import encode
from workers.engine.training import train


def perturb(resident: Resident, scale: float = 0.2) -> Tensor:
    generator = torch.Generator().manual_seed(11)
    vector = scale * torch.randn(resident.parameters.size, generator=generator)
    resident.parameters.set(vector)
    return vector


@pytest.fixture
def changes(resident: Resident, data: TrainingSet) -> list[Change]:
    """One removal, one query modification and one response correction, with unequal weights."""
    tokens = encode_all(resident, data)
    first, second, third = data.examples[:3]

    query = encode(resident.tokenizer, second.content.with_prompt("another key:"), data.format)
    response = encode(resident.tokenizer, third.content.with_completion("hhhh"), data.format)
    return [
        Change(first.id, 0.02, tokens[first.id], None),
        Change(second.id, 0.03, tokens[second.id], query),
        Change(third.id, 0.05, tokens[third.id], response),
    ]


def taken_from_the_objective(resident: Resident, changes: list[Change]) -> float:
    """Σ wᵢ [ℓ(oldᵢ) − ℓ(newᵢ)] in fp64."""
    total = 0.0
    for change in changes:
        for tokens, sign in ((change.old, 1), (change.new, -1)):
            if tokens is not None:
                loss = mean_losses(resident.model, [tokens], resident.pad_id, CPU, 1)
                total += sign * change.weight * float(loss.double())
    return total


def test_it_is_the_derivative_of_what_the_ledger_takes_away(resident: Resident, changes: list[Change]) -> None:
    point = perturb(resident)
    b = right_hand_side(resident, changes)
    for seed in range(5):
        direction = torch.randn(len(b), generator=torch.Generator().manual_seed(seed))
        direction /= direction.norm()
        step, sides = 2e-2, []
        for sign in (1, -1):
            resident.parameters.set(point + sign * step * direction)
            sides.append(taken_from_the_objective(resident, changes))
        assert float(b @ direction) == pytest.approx((sides[0] - sides[1]) / (2 * step), rel=0.02, abs=2e-5)


def test_it_is_linear_in_the_ledger(resident: Resident, changes: list[Change]) -> None:
    perturb(resident)
    together = right_hand_side(resident, changes)
    apart = sum(right_hand_side(resident, [change]) for change in changes)
    torch.testing.assert_close(together, apart, rtol=1e-4, atol=1e-7)


def test_an_edit_that_changes_nothing_contributes_nothing(resident: Resident, changes: list[Change]) -> None:
    perturb(resident)
    same = Change("same", 0.5, changes[0].old, changes[0].old)
    assert float(right_hand_side(resident, [same]).abs().max()) < 1e-6


def test_micro_batches_do_not_change_it(resident: Resident, changes: list[Change]) -> None:
    perturb(resident)
    whole = right_hand_side(resident, changes)
    resident.micro_batch.size = 2
    torch.testing.assert_close(right_hand_side(resident, changes), whole, rtol=1e-4, atol=1e-7)


def test_gradient_checkpointing_does_not_change_it(resident: Resident, changes: list[Change]) -> None:
    perturb(resident)
    plain = right_hand_side(resident, changes)
    resident.base.model.activation_checkpointing_enable({"use_reentrant": False})
    resident.model.train()
    torch.testing.assert_close(right_hand_side(resident, changes), plain, rtol=1e-5, atol=1e-8)


def test_the_adapters_dropout_is_off(llama_path: Path, changes: list[Change], resident: Resident) -> None:
    perturb(resident)
    expected = right_hand_side(resident, changes)
    lora = resident.lora.model_copy(update={"dropout": 0.5})
    dropping = Resident(open_base(Base(str(llama_path), None, None), CPU), lora)
    perturb(dropping)
    dropping.model.train()
    torch.testing.assert_close(right_hand_side(dropping, changes), expected, rtol=1e-5, atol=1e-8)


def test_a_bf16_base_gives_nearly_the_same(llama_path: Path, resident: Resident, changes: list[Change]) -> None:
    perturb(resident)
    exact = right_hand_side(resident, changes)
    half = Resident(open_base(Base(str(llama_path), None, None), CPU), resident.lora)
    torch.nn.Module.to(half.base.model, torch.bfloat16)
    for name, weight in half.model.named_parameters():
        if ".lora_" in name:
            weight.data = weight.data.float()
    perturb(half)
    approximate = right_hand_side(half, changes)
    assert approximate.dtype == torch.float32
    assert float(torch.cosine_similarity(exact, approximate, dim=0)) > 0.99


def test_weights_are_the_trainers_where_it_left_a_record(
    resident: Resident, data: TrainingSet, recipe: Recipe, tmp_path: Path
) -> None:
    record = train(
        resident,
        data,
        recipe.model_copy(update={"epochs": 2}),
        encode_all(resident, data),
        checkpoint=tmp_path,
        progress=ignore_progress,
        should_yield=never,
    )
    assert isinstance(record, TrainingRecord)
    ids = [example.id for example in data.examples]
    assert instance_weights(ids, record) == record.weights
    assert instance_weights(ids, None) == dict.fromkeys(ids, 1 / len(ids))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_gpu_gives_the_same(llama_path: Path, lora: LoraSpec, resident: Resident, changes: list[Change]) -> None:
    perturb(resident)
    expected = right_hand_side(resident, changes)
    device = torch.device("cuda")
    other = Resident(open_base(Base(str(llama_path), None, None), device), lora)
    other.parameters.set(resident.parameters.get().to(device))
    assert float(torch.cosine_similarity(right_hand_side(other, changes).cpu(), expected, dim=0)) > 0.99
