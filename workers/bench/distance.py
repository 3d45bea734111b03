"""How far apart two adapters' weight changes ΔW = (α/r) B A are; distances in A and B mean nothing, since
(B R, R⁻¹ A) is the same adapter for any invertible R."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from workers.engine.resident import Resident


def relative_distance(resident: Resident, candidate: Tensor, oracle: Tensor, anchor: Tensor) -> float:
    """‖ΔW − ΔW_oracle‖ / ‖ΔW_anchor − ΔW_oracle‖ (Frobenius, over all modules) of weights [p].

    1 is as far as doing nothing. Memory: r × r products alone, never a ΔW.
    """
    named = [resident.parameters.named(weights.double()) for weights in (candidate, oracle, anchor)]
    return math.sqrt(_squared(named[0], named[1]) / max(_squared(named[2], named[1]), torch.finfo().tiny))


def _squared(left: Mapping[str, Tensor], right: Mapping[str, Tensor]) -> float:
    """Σ ‖B A − B' A'‖² = Σ ‖BA‖² − 2⟨BA, B'A'⟩ + ‖B'A'‖², each as a trace of (Bᵀ B') (A' Aᵀ)."""
    total = 0.0
    for name in left:
        if ".lora_A." in name:
            other = name.replace(".lora_A.", ".lora_B.")
            pairs = (left[other], left[name]), (right[other], right[name])
            (first, second) = pairs
            total += _inner(*first, *first) - 2 * _inner(*first, *second) + _inner(*second, *second)
    return max(total, 0.0)


def _inner(b: Tensor, a: Tensor, other_b: Tensor, other_a: Tensor) -> float:
    """⟨B A, B' A'⟩ for B [out, r], A [r, in]."""
    return float(((b.T @ other_b) * (a @ other_a.T)).sum())
