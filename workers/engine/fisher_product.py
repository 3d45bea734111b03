"""Products with the Fisher information of any number of instances, by first-order passes and without rows.

Per instance F v = r ⟨r, v⟩: one backward pass gives every ⟨r, v⟩ of a batch through hooks, a second one
over the same graph the sum of r weighted with them. Nothing is differentiated twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from workers.engine.fisher import sample_labels
from workers.engine.lora_hooks import watched
from workers.engine.losses import instance_losses, label_logits
from workers.engine.resident import Resident
from workers.engine.right_hand_side import dropout_off
from workers.engine.tokens import NO_LOSS, Tokens, collate


@dataclass(frozen=True, slots=True)
class FisherProduct:
    """F v = Σᵢ rᵢ ⟨rᵢ, v⟩ with the rows rᵢ of `fisher_rows`, at the weights that the resident holds when called.

    `tokens` carry labels sampled once, so that F is one fixed matrix. A product costs 5/3 of a gradient an instance.

    Memory: 16p bytes, the activations of a micro-batch, and its inputs to the LoRA matrices.
    """

    resident: Resident
    tokens: Sequence[Tokens]
    weights: Sequence[float]

    @classmethod
    def sampled(
        cls, resident: Resident, tokens: Sequence[Tokens], weights: Sequence[float], generator: torch.Generator
    ) -> "FisherProduct":
        """With labels drawn at the resident's present weights, as `fisher_rows` draws them from this generator."""
        return cls(resident, with_sampled_labels(resident, tokens, generator), weights)

    def __call__(self, vector: Tensor) -> Tensor:
        """F v [p] in the precision of v [p]; its passes are in the model's."""
        resident = self.resident
        directions = resident.parameters.named(vector.float())

        def accumulate(size: int) -> Tensor:
            total = torch.zeros_like(vector)
            for start in range(0, len(self.tokens), size):
                total += self._part(slice(start, start + size), directions)
            return total

        return resident.micro_batch.attempt(accumulate)

    def _part(self, chosen: slice, directions: dict[str, Tensor]) -> Tensor:
        """One micro-batch's share of the product [p]."""
        tokens, resident = self.tokens[chosen], self.resident
        batch = collate(tokens, resident.pad_id).to(resident.device)
        slopes = torch.zeros(len(tokens), device=resident.device)

        def project(name: str, inputs: Tensor, gradient: Tensor) -> None:
            slopes.add_((inputs.float() @ directions[name].T * gradient.float()).sum((1, 2)))

        with dropout_off(resident.model):
            with watched(resident, len(tokens), project):
                losses = instance_losses(resident.model, batch)
                losses.sum().backward(retain_graph=True)  # type: ignore[no-untyped-call]
            resident.parameters.zero_grad()
            counts = [instance.label_count for instance in tokens]
            factors = slopes.new_tensor([w * n for w, n in zip(self.weights[chosen], counts, strict=True)])
            (losses @ (factors * slopes)).backward()  # type: ignore[no-untyped-call]
        product = resident.parameters.gradient()
        resident.parameters.zero_grad()
        return product


@torch.no_grad()
def with_sampled_labels(
    resident: Resident, tokens: Sequence[Tokens], generator: torch.Generator
) -> tuple[Tokens, ...]:
    """The same instances with labels drawn from the model's own predictions. One forward pass each."""
    uniforms = [torch.rand(instance.label_count, generator=generator) for instance in tokens]

    def attempt(size: int) -> list[Tokens]:
        relabelled: list[Tokens] = []
        for start in range(0, len(tokens), size):
            chosen = tokens[start : start + size]
            logits, _ = label_logits(resident.model, collate(chosen, resident.pad_id).to(resident.device))
            draws = torch.cat(uniforms[start : start + size]).to(resident.device)
            labels = iter(sample_labels(logits, draws).tolist())
            relabelled += [
                _relabelled(instance, [next(labels) for _ in range(instance.label_count)]) for instance in chosen
            ]
        return relabelled

    with dropout_off(resident.model):
        return tuple(resident.micro_batch.attempt(attempt))


def _relabelled(instance: Tokens, drawn: list[int]) -> Tokens:
    remaining = iter(drawn)
    return Tokens(instance.ids, tuple(NO_LOSS if old == NO_LOSS else next(remaining) for old in instance.labels))
