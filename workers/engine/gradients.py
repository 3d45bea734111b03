"""The gradient of a weighted sum of instance losses, Σ cᵢ ∇ℓᵢ(φ)."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TypeAlias

from torch import Tensor

from workers.engine.losses import instance_losses
from workers.engine.resident import Resident
from workers.engine.tokens import Tokens, collate

Watch: TypeAlias = Callable[[slice], AbstractContextManager[object]]
"""What a micro-batch's passes run within; it is told which of the instances they are."""


def _unwatched(part: slice) -> AbstractContextManager[object]:
    return nullcontext()


def weighted_gradient(
    resident: Resident, tokens: Sequence[Tokens], coefficients: Sequence[float], watch: Watch = _unwatched
) -> Tensor:
    """Σ cᵢ ∇ℓᵢ [p], fp32, in the model's present mode, accumulated micro-batch by micro-batch.

    Memory: 8p bytes and the activations of one micro-batch, which halves when they do not fit.
    """

    def accumulate(size: int) -> Tensor:
        resident.parameters.zero_grad()
        for start in range(0, len(tokens), size):
            part = slice(start, min(start + size, len(tokens)))
            with watch(part):
                losses = instance_losses(resident.model, collate(tokens[part], resident.pad_id).to(resident.device))
                (losses @ losses.new_tensor(coefficients[part])).backward()  # type: ignore[no-untyped-call]
        gradient = resident.parameters.gradient()
        resident.parameters.zero_grad()
        return gradient

    return resident.micro_batch.attempt(accumulate)
