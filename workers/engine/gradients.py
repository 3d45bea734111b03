"""The gradient of a weighted sum of instance losses, Σ cᵢ ∇ℓᵢ(φ)."""

from collections.abc import Sequence

from torch import Tensor

from workers.engine.losses import instance_losses
from workers.engine.resident import Resident
from workers.engine.tokens import Tokens, collate


def weighted_gradient(resident: Resident, tokens: Sequence[Tokens], coefficients: Sequence[float]) -> Tensor:
    """Σ cᵢ ∇ℓᵢ [p], fp32, in the model's present mode, accumulated micro-batch by micro-batch.

    Memory: 8p bytes and the activations of one micro-batch, which halves when they do not fit.
    """

    def accumulate(size: int) -> Tensor:
        resident.parameters.zero_grad()
        for start in range(0, len(tokens), size):
            batch = collate(tokens[start : start + size], resident.pad_id).to(resident.device)
            losses = instance_losses(resident.model, batch)
            (losses @ losses.new_tensor(coefficients[start : start + size])).backward()  # type: ignore[no-untyped-call]
        gradient = resident.parameters.gradient()
        resident.parameters.zero_grad()
        return gradient

    return resident.micro_batch.attempt(accumulate)
