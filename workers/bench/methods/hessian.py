"""Products with the Hessian of the training loss, by differentiating twice."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from workers.bench.methods.descent import losses_of
from workers.engine.resident import Resident
from workers.engine.tokens import Tokens


def hessian_product(resident: Resident, tokens: Sequence[Tokens], vector: Tensor) -> Tensor:
    """∇² of the instances' mean loss at the resident's weights, times a vector [p] (Pearlmutter 1994).

    Fused attention has no second derivative, so this runs unfused and keeps the graph of the gradient.
    """
    weights = resident.parameters.tensors
    with sdpa_kernel(SDPBackend.MATH):
        loss = losses_of(resident, tokens).mean()
        gradients = torch.autograd.grad(loss, weights, create_graph=True)
        inner = torch.cat([gradient.reshape(-1) for gradient in gradients]) @ vector
        found = torch.autograd.grad(inner, weights)
    return torch.cat([part.reshape(-1) for part in found]).float()
