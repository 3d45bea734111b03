"""Fisher rows against the explicit Gauss-Newton matrix of a model with two-token label space and few parameters."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from service.domain.adapters import LoraSpec
from tests.workers.engine.small_data import CPU
from workers.engine.fisher import fisher_rows, instance_gradients, sample_labels
from workers.engine.losses import instance_losses, label_logits
from workers.engine.resident import Resident
from workers.engine.tokens import NO_LOSS, Tokens, collate

pytestmark = pytest.mark.slow

SPECS = [
    LoraSpec(r=1, alpha=2, target_modules=("v_proj",)),
    LoraSpec(r=3, alpha=3, target_modules=("q_proj", "down_proj")),
]


def tokens(length: int, label_count: int, seed: int) -> Tokens:
    ids = torch.randint(3, 200, (length,), generator=torch.Generator().manual_seed(seed)).tolist()
    return Tokens(tuple(ids), (*[NO_LOSS] * (length - label_count), *ids[length - label_count :]))


INSTANCES = [tokens(6, 2, seed=0), tokens(9, 3, seed=1), tokens(4, 1, seed=2)]


def perturb(resident: Resident) -> None:
    """Away from B = 0, where half of all gradients vanish."""
    generator = torch.Generator().manual_seed(7)
    resident.parameters.set(0.3 * torch.randn(resident.parameters.size, generator=generator))


def gradient_one_by_one(resident: Resident, instance: Tokens) -> Tensor:
    resident.parameters.zero_grad()
    instance_losses(resident.model, collate([instance], resident.pad_id)).sum().backward()  # type: ignore[no-untyped-call]
    gradient = resident.parameters.gradient()
    resident.parameters.zero_grad()
    return gradient


def gauss_newton(resident: Resident, instance: Tokens) -> Tensor:
    """Explicit Jᵀ H J / T of the token-mean loss: one backward pass a logit, H the softmax's Hessian."""
    logits, _ = label_logits(resident.model, collate([instance], resident.pad_id))
    weights = [w for name, w in resident.model.named_parameters() if ".lora_" in name]
    by_name = dict(zip((n for n, _ in resident.model.named_parameters() if ".lora_" in n), weights, strict=True))
    ordered = [by_name[name] for name in sorted(by_name, key=lambda n: n.replace(".default.", "."))]
    total = torch.zeros(resident.parameters.size, resident.parameters.size, dtype=torch.float64)
    for row in logits:
        jacobian = torch.stack(
            [
                torch.cat([g.reshape(-1) for g in torch.autograd.grad(value, ordered, retain_graph=True)])
                for value in row
            ]
        ).double()
        p = row.detach().double().softmax(-1)
        total += jacobian.T @ (p.diag() - p[:, None] * p) @ jacobian
    return total / len(logits)


@pytest.mark.parametrize("spec", SPECS, ids=["r=1", "r=3"])
@pytest.mark.parametrize("base", ["llama_path", "gpt2_path"])
def test_hooks_give_each_instance_its_own_gradient(
    spec: LoraSpec,
    base: str,
    request: pytest.FixtureRequest,
    open_resident: Callable[[Path, LoraSpec], Resident],
) -> None:
    if base == "gpt2_path":
        spec = spec.model_copy(update={"target_modules": ("c_attn", "mlp.c_proj")})
    resident = open_resident(request.getfixturevalue(base), spec)
    perturb(resident)
    with instance_gradients(resident, len(INSTANCES)) as rows:
        instance_losses(resident.model, collate(INSTANCES, resident.pad_id)).sum().backward()  # type: ignore[no-untyped-call]
    expected = torch.stack([gradient_one_by_one(resident, instance) for instance in INSTANCES])
    torch.testing.assert_close(rows, expected, rtol=1e-4, atol=1e-5)


def test_checkpointing_does_not_change_them(resident: Resident) -> None:
    perturb(resident)
    generator = torch.Generator().manual_seed
    plain = torch.cat(list(fisher_rows(resident, INSTANCES, [1.0] * 3, generator(0))))
    resident.base.model.activation_checkpointing_enable({"use_reentrant": False})
    resident.model.train()
    checkpointed = torch.cat(list(fisher_rows(resident, INSTANCES, [1.0] * 3, generator(0))))
    torch.testing.assert_close(checkpointed, plain, rtol=1e-5, atol=1e-7)


def test_their_expectation_is_the_weighted_gauss_newton_matrix(
    llama_path: Path, open_resident: Callable[[Path, LoraSpec], Resident]
) -> None:
    resident = open_resident(llama_path, LoraSpec(r=1, alpha=1, target_modules=("v_proj",)))
    perturb(resident)
    weights = [0.5, 0.2]
    instances = INSTANCES[:2]
    exact = sum(w * gauss_newton(resident, instance) for w, instance in zip(weights, instances, strict=True))
    assert isinstance(exact, Tensor)
    draws, generator, sampled = 1500, torch.Generator().manual_seed(0), torch.zeros_like(exact)
    repeated = [instance for instance in instances for _ in range(draws)]
    for block in fisher_rows(resident, repeated, [w for w in weights for _ in range(draws)], generator):
        sampled += block.double().T @ block.double() / draws
    assert float((sampled - exact).norm() / exact.norm()) < 0.15
    assert float(sampled.trace() / exact.trace()) == pytest.approx(1, abs=0.06)


def test_rows_do_not_depend_on_how_instances_are_batched(resident: Resident) -> None:
    perturb(resident)
    together = torch.cat(list(fisher_rows(resident, INSTANCES, [1.0] * 3, torch.Generator().manual_seed(5))))
    resident.micro_batch.size = 1
    alone = torch.cat(list(fisher_rows(resident, INSTANCES, [1.0] * 3, torch.Generator().manual_seed(5))))
    torch.testing.assert_close(alone, together, rtol=1e-4, atol=1e-5)


def test_labels_are_drawn_in_proportion_to_their_probability() -> None:
    probabilities = torch.tensor([0.1, 0.6, 0.3])
    draws = torch.rand(20_000, generator=torch.Generator().manual_seed(0))
    labels = sample_labels(probabilities.log().expand(len(draws), 3), draws)
    torch.testing.assert_close(torch.bincount(labels) / len(draws), probabilities, rtol=0.0, atol=0.015)


def test_no_gradient_is_left_behind(resident: Resident) -> None:
    list(fisher_rows(resident, INSTANCES, [1.0] * 3, torch.Generator().manual_seed(0)))
    assert not resident.parameters.gradient().any()
    assert resident.device == CPU
