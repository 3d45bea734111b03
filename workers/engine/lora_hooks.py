"""What passes through the LoRA matrices: their inputs, and the gradients of their outputs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from workers.engine.errors import EngineRefusal
from workers.engine.parameters import canonical_key
from workers.engine.resident import Resident

Seen = Callable[[str, Tensor, Tensor], None]
"""A matrix's canonical key, its inputs a [B, T, in], and the gradients g [B, T, out] of its outputs."""


@contextmanager
def watched(resident: Resident, size: int, seen: Seen) -> Iterator[None]:
    """Within the block, a backward pass over a batch of `size` calls `seen` for each use of a LoRA matrix.

    The gradient of the matrix is Σ gᵀa over the tokens. Memory: the inputs, until the graph is freed.

    Raises:
        EngineRefusal: `instance_gradients` if a LoRA layer mixes the instances of a batch (fused experts).
    """
    watching = True

    def watch(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def forward_hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            if output.requires_grad and torch.is_grad_enabled():
                given = inputs[0].detach()
                output.register_hook(lambda gradient: report(given, gradient))  # type: ignore[no-untyped-call]

        def report(given: Tensor, gradient: Tensor) -> None:
            # The graph may live on after the block, and with it this hook.
            if not watching:
                return
            if given.shape[0] != size:
                raise EngineRefusal("instance_gradients", "A LoRA layer mixes the instances of a batch.")
            single = given.dim() == 2
            seen(name, given[:, None] if single else given, gradient[:, None] if single else gradient)

        return forward_hook

    slices = resident.parameters.slices
    handles = [
        module.register_forward_hook(watch(canonical_key(f"{name}.weight")))
        for name, module in resident.model.named_modules()
        if canonical_key(f"{name}.weight") in slices
    ]
    try:
        yield
    finally:
        watching = False
        for handle in handles:
            handle.remove()
