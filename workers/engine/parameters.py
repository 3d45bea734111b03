"""All LoRA weights of an adapter as one vector φ, in one fixed order."""

import torch
from peft import PeftModel
from torch import Tensor, nn

ADAPTER = "default"


def canonical_key(name: str) -> str:
    """The key of a parameter in an adapter file: PEFT's name without the adapter's own name."""
    return name.replace(f".{ADAPTER}.", ".")


class LoraParameters:
    """A flat fp32 view [p] of the LoRA weights of a PEFT model, ordered by canonical key.

    Copies only: each call to `get` or `gradient` allocates 4p bytes on the model's device.
    """

    def __init__(self, model: PeftModel) -> None:
        found = {canonical_key(name): weight for name, weight in model.named_parameters() if ".lora_" in name}
        self._weights: dict[str, nn.Parameter] = dict(sorted(found.items()))

    @property
    def names(self) -> tuple[str, ...]:
        """Canonical keys, sorted: `base_model.model.….lora_A.weight`."""
        return tuple(self._weights)

    @property
    def shapes(self) -> tuple[torch.Size, ...]:
        return tuple(weight.shape for weight in self._weights.values())

    @property
    def size(self) -> int:
        """p, the length of the vector."""
        return sum(weight.numel() for weight in self._weights.values())

    @property
    def slices(self) -> dict[str, slice]:
        """Where each weight lies in the vector."""
        found, start = {}, 0
        for name, weight in self._weights.items():
            found[name] = slice(start, start + weight.numel())
            start += weight.numel()
        return found

    @property
    def tensors(self) -> tuple[nn.Parameter, ...]:
        """The weights themselves, in the vector's order, for automatic differentiation."""
        return tuple(self._weights.values())

    def get(self) -> Tensor:
        """A copy of the weights [p], fp32, on the model's device."""
        return torch.cat([weight.detach().reshape(-1).float() for weight in self._weights.values()])

    @torch.no_grad()
    def set(self, vector: Tensor) -> None:
        """Overwrites the weights in place with a vector [p]."""
        for weight, part in zip(self._weights.values(), self._split(vector), strict=True):
            weight.copy_(part.view_as(weight))

    def gradient(self) -> Tensor:
        """A copy of the accumulated gradients [p], fp32; zero where none was accumulated."""
        return torch.cat(
            [
                weight.new_zeros(weight.numel(), dtype=torch.float32)
                if weight.grad is None
                else weight.grad.reshape(-1).float()
                for weight in self._weights.values()
            ]
        )

    def zero_grad(self) -> None:
        for weight in self._weights.values():
            weight.grad = None

    def named(self, vector: Tensor) -> dict[str, Tensor]:
        """A vector [p] as tensors in the shapes of the weights, by canonical key."""
        return {
            name: part.view(weight.shape)
            for (name, weight), part in zip(self._weights.items(), self._split(vector), strict=True)
        }

    def vector(self, named: dict[str, Tensor]) -> Tensor:
        """The inverse of `named`: fp32 [p]. The keys must be exactly `names`."""
        return torch.cat([named[name].reshape(-1).float() for name in self._weights])

    def _split(self, vector: Tensor) -> tuple[Tensor, ...]:
        return torch.split(vector, [weight.numel() for weight in self._weights.values()])
