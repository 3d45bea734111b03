"""Distances are between weight changes, not between the factors that they are products of."""

import math

import pytest
import torch
from torch import Tensor

from workers.bench.cases import Line
from workers.bench.distance import relative_distance


def _adapter(line: Line, seed: int) -> Tensor:
    return torch.randn(line.resident.parameters.size, generator=torch.Generator().manual_seed(seed))


def _dense(line: Line, weights: Tensor) -> Tensor:
    named = line.resident.parameters.named(weights)
    products = [named[name.replace("lora_A", "lora_B")] @ named[name] for name in named if "lora_A" in name]
    return torch.cat([product.reshape(-1) for product in products])


def test_it_equals_the_distance_of_the_dense_matrices(line: Line) -> None:
    candidate, oracle, anchor = (_adapter(line, seed) for seed in range(3))
    changes = [_dense(line, weights) for weights in (candidate, oracle, anchor)]
    expected = float((changes[0] - changes[1]).norm() / (changes[2] - changes[1]).norm())
    assert relative_distance(line.resident, candidate, oracle, anchor) == pytest.approx(expected, rel=1e-5)


def test_another_factorisation_of_the_same_change_is_no_distance_away(line: Line) -> None:
    oracle, anchor = _adapter(line, 1), _adapter(line, 2)
    rotation, _ = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(0)))
    turned = {
        name: rotation @ part if "lora_A" in name else part @ rotation.T
        for name, part in line.resident.parameters.named(oracle).items()
    }
    same = line.resident.parameters.vector(turned)
    assert not torch.allclose(same, oracle)
    assert relative_distance(line.resident, same, oracle, anchor) < 1e-3


def test_doing_nothing_is_one_and_half_way_is_a_half(line: Line) -> None:
    oracle, anchor = _adapter(line, 1), _adapter(line, 2)
    assert math.isclose(relative_distance(line.resident, anchor, oracle, anchor), 1.0)
    # With A in common, ΔW is linear in B.
    shared, other = line.resident.parameters.named(oracle), line.resident.parameters.named(anchor)
    start = {name: part if "lora_A" in name else other[name] for name, part in shared.items()}
    half = {name: (part + start[name]) / 2 for name, part in shared.items()}
    vector = line.resident.parameters.vector
    assert relative_distance(line.resident, vector(half), oracle, vector(start)) == pytest.approx(0.5, rel=1e-5)
