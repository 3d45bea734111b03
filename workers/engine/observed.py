"""A batch's gradient together with what each of its instances contributed, from the same backward pass."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from workers.engine.fisher import instance_gradients
from workers.engine.gradients import weighted_gradient
from workers.engine.resident import Resident
from workers.engine.tokens import Tokens


def observed_gradient(
    resident: Resident, tokens: Sequence[Tokens], coefficients: Sequence[float]
) -> tuple[Tensor, Tensor]:
    """Σ cᵢ ∇ℓᵢ [p], bit-equal to what is computed unobserved, and its parts cᵢ ∇ℓᵢ [m, p].

    Memory: that of the gradient, and 8p bytes an instance.
    """
    parts = torch.empty(len(tokens), resident.parameters.size, device=resident.device)

    @contextmanager
    def watch(part: slice) -> Iterator[None]:
        with instance_gradients(resident, part.stop - part.start) as found:
            yield
        parts[part] = found

    return weighted_gradient(resident, tokens, coefficients, watch), parts


def fisher_scales(tokens: Sequence[Tokens], coefficients: Sequence[float]) -> list[float]:
    """What turns a part cᵢ ∇ℓᵢ into a row rᵢ with rᵢᵀ rᵢ ≈ cᵢ GGNᵢ: the mean over T tokens has a T-th of a
    token's covariance (Kunstner et al. 2019, arXiv:1905.12558, on the empirical Fisher matrix)."""
    return [(one.label_count / c) ** 0.5 for one, c in zip(tokens, coefficients, strict=True)]
