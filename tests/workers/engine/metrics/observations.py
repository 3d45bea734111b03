"""Observations made by hand."""

from collections.abc import Sequence

import torch

from workers.engine.metrics.observation import Observation


def observed(
    logprobs: Sequence[float],
    correct: Sequence[bool] | None = None,
    *,
    mean: Sequence[float] | None = None,
    deviation: Sequence[float] | None = None,
    compressed: int = 20,
    base_loss: float | None = None,
) -> Observation:
    """One instance by its labels' log-probabilities; if not told, nothing is right and predictions spread by one."""
    count = len(logprobs)
    return Observation(
        torch.tensor(logprobs, dtype=torch.float64),
        torch.tensor(correct if correct is not None else [False] * count),
        torch.tensor(mean if mean is not None else [0.0] * count, dtype=torch.float64),
        torch.tensor(deviation if deviation is not None else [1.0] * count, dtype=torch.float64),
        compressed,
        base_loss,
    )


def with_loss(loss: float, *, strength: float = 0.0, base: float | None = None) -> Observation:
    """Ten labels of one loss, of which the last `strength` are said right."""
    right = round(10 * strength)
    return observed([-loss] * 10, [False] * (10 - right) + [True] * right, base_loss=base)
