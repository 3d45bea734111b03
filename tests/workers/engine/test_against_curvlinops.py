"""Fisher rows and their products against curvlinops' exact Gauss-Newton operator on the same LoRA parameters.

No sampling error enters: over a vocabulary of five tokens, an instance's rows are formed for every outcome
of its labels and weighted by that outcome's probability.
"""

import itertools
import math
import warnings

import pytest
import torch
from torch import Tensor, nn

from tests.workers.engine.small_data import INSTANCES, VOCABULARY, WEIGHTS
from workers.engine.curvature import Curvature
from workers.engine.fisher import fisher_rows, instance_gradients, sample_labels
from workers.engine.losses import instance_losses, label_logits
from workers.engine.resident import Resident
from workers.engine.solve import woodbury
from workers.engine.tokens import NO_LOSS, Tokens, collate

with warnings.catch_warnings():
    # What it imports is compiled in a way that torch deprecated; so is torch's own forward-mode differentiation.
    warnings.filterwarnings("ignore", message=".*torch.jit.script.*", category=DeprecationWarning)
    from curvlinops import GGNLinearOperator

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")


class Labels(nn.Module):
    """Logits [T, V] at the label positions of the one instance that curvlinops passes in."""

    def __init__(self, resident: Resident, tokens: Tokens) -> None:
        super().__init__()
        self.model = resident.model
        self.positions = [position - 1 for position, label in enumerate(tokens.labels) if label != NO_LOSS]

    def forward(self, ids: Tensor) -> Tensor:
        logits: Tensor = self.model(input_ids=ids, use_cache=False).logits
        return logits[0, self.positions]


def exact_product(resident: Resident, vectors: Tensor) -> Tensor:
    """Σ wᵢ GGNᵢ times vectors [p, k] by curvlinops in fp64; the model stays in fp64."""
    torch.nn.Module.to(resident.model, torch.float64)
    resident.base.model.set_attn_implementation("eager")  # the fused kernels have no forward-mode derivative
    total = torch.zeros_like(vectors)
    for tokens, weight in zip(INSTANCES, WEIGHTS, strict=True):
        labels = torch.tensor([label for label in tokens.labels if label != NO_LOSS])
        operator = GGNLinearOperator(
            Labels(resident, tokens),
            nn.CrossEntropyLoss(reduction="mean"),
            list(resident.parameters.tensors),
            [(torch.tensor([tokens.ids]), labels)],
            num_data=1,
            batch_size_fn=lambda _: 1,
            check_deterministic=False,
        )
        total += weight * (operator @ vectors)
    return total


def outcomes(tokens: Tokens) -> list[Tokens]:
    """The instance under every one of its Vᵀ label outcomes, the last label counting fastest."""
    context = [NO_LOSS] * (len(tokens.labels) - tokens.label_count)
    drawn = itertools.product(range(VOCABULARY), repeat=tokens.label_count)
    return [Tokens(tokens.ids, (*context, *labels)) for labels in drawn]


def outcome_rows(resident: Resident, tokens: Tokens) -> Tensor:
    """The gradient of the token-mean loss under every outcome [Vᵀ, p]."""
    every = outcomes(tokens)
    with instance_gradients(resident, len(every)) as rows:
        instance_losses(resident.model, collate(every, resident.pad_id)).sum().backward()  # type: ignore[no-untyped-call]
    resident.parameters.zero_grad()
    return rows


@torch.no_grad()
def probabilities(resident: Resident, tokens: Tokens) -> Tensor:
    """Of every outcome [Vᵀ], fp64."""
    logits, _ = label_logits(resident.model, collate([tokens], resident.pad_id))
    joint = torch.ones(1, dtype=torch.float64)
    for position in logits.double().softmax(-1):
        joint = (joint[:, None] * position).reshape(-1)
    return joint


def expected_rows(resident: Resident) -> Tensor:
    """√(probability · wᵢ T) times the row of every outcome of every instance: their Gram sum is the expectation."""
    return torch.cat(
        [
            outcome_rows(resident, tokens)
            * (probabilities(resident, tokens) * weight * tokens.label_count).sqrt().float()[:, None]
            for tokens, weight in zip(INSTANCES, WEIGHTS, strict=True)
        ]
    )


def error(found: Tensor, exact: Tensor) -> float:
    return float((found.double() - exact).norm() / exact.norm())


def test_over_all_outcomes_the_rows_make_the_gauss_newton_matrix(small: Resident) -> None:
    rows = expected_rows(small).double()
    exact = exact_product(small, torch.eye(rows.shape[1], dtype=torch.float64))
    assert error(rows.T @ rows, exact) < 1e-5


def test_products_and_solves_with_them_are_those_of_the_operator(small: Resident) -> None:
    rows = expected_rows(small)
    size = rows.shape[1]
    damping = torch.linspace(0.05, 0.2, size)
    b = torch.randn(size, generator=torch.Generator().manual_seed(2))
    curvature = Curvature.of(rows, damping)
    dense = exact_product(small, torch.eye(size, dtype=torch.float64)) + damping.double().diag()
    assert error(curvature.apply(b.double()), dense @ b.double()) < 1e-5
    assert error(woodbury(curvature, b).x, torch.linalg.solve(dense, b.double())) < 1e-5


def test_a_drawn_row_is_the_row_of_the_outcome_drawn(small: Resident) -> None:
    """So the expectation of what is sampled is the sum over outcomes above."""
    drawn = torch.cat(list(fisher_rows(small, INSTANCES, WEIGHTS, torch.Generator().manual_seed(5))))
    generator = torch.Generator().manual_seed(5)
    for row, tokens, weight in zip(drawn, INSTANCES, WEIGHTS, strict=True):
        logits, _ = label_logits(small.model, collate([tokens], small.pad_id))
        labels = sample_labels(logits.detach(), torch.rand(tokens.label_count, generator=generator))
        number = sum(int(label) * VOCABULARY**power for power, label in enumerate(reversed(labels.tolist())))
        expected = outcome_rows(small, tokens)[number] * math.sqrt(weight * tokens.label_count)
        assert error(row, expected.double()) < 1e-5
