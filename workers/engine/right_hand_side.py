"""The right-hand side of the update: what the ledger took from the training objective, as a gradient."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor, nn

from workers.engine.gradients import weighted_gradient
from workers.engine.record import TrainingRecord
from workers.engine.resident import Resident
from workers.engine.tokens import Tokens


@dataclass(frozen=True, slots=True)
class Change:
    """One ledger entry as the engine sees it: what was trained on, at which weight wᵢ, and what should have been."""

    instance_id: str
    weight: float
    old: Tokens
    new: Tokens | None


def instance_weights(instance_ids: Sequence[str], record: TrainingRecord | None) -> dict[str, float]:
    """The wᵢ of J(φ) = Σ wᵢ ℓᵢ(φ): the trainer's own where it left a record, else 1/n."""
    if record is None:
        return {instance_id: 1 / len(instance_ids) for instance_id in instance_ids}
    return {instance_id: record.weights[instance_id] for instance_id in instance_ids}


def right_hand_side(resident: Resident, changes: Sequence[Change]) -> Tensor:
    """b = Σ_S wᵢ [∇ℓ(oldᵢ) − ∇ℓ(newᵢ)] [p], fp32, at the resident's weights (LLMEraser, eqs. 9 to 11).

    Both sides of an edit pass through the model in one padded batch, dropout off: their difference is
    small, so rounding and noise must be common to both.

    Memory: 8p bytes and the activations of one micro-batch.
    """
    edited = [change for change in changes if change.new is not None]
    removed = [change for change in changes if change.new is None]
    tokens: list[Tokens] = []
    coefficients: list[float] = []
    # Pairs first: micro-batches have an even size, so no pair is torn apart.
    for change in (*edited, *removed):
        tokens.append(change.old)
        coefficients.append(change.weight)
        if change.new is not None:
            tokens.append(change.new)
            coefficients.append(-change.weight)
    with dropout_off(resident.model):
        return weighted_gradient(resident, tokens, coefficients)


def canonical_changes(
    edits: Mapping[str, Tokens | None], trained: Mapping[str, Tokens], weights: Mapping[str, float]
) -> tuple[Change, ...]:
    """The ledger's changes sorted by instance id, so that sums do not depend on the order of arrival."""
    return tuple(Change(name, weights[name], trained[name], edits[name]) for name in sorted(edits))


@contextmanager
def dropout_off(model: nn.Module) -> Iterator[None]:
    """Every dropout layer off, whatever else the mode is; restored afterwards.

    Gradient checkpointing works only in training mode, so the mode is kept and the dropout layers
    alone are switched. Attention's functional dropout has rate 0 in every base Lethe opens.
    """
    switched = [module for module in model.modules() if isinstance(module, nn.Dropout) and module.training]
    for module in switched:
        module.eval()
    try:
        yield
    finally:
        for module in switched:
            module.train()
