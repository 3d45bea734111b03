"""Products with the Hessian of the training loss, by differentiating twice."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from workers.bench.methods.descent import losses_of
from workers.engine.resident import Resident
from workers.engine.tokens import Tokens


def hessian_product(resident: Resident, tokens: Sequence[Tokens], vector: Tensor) -> Tensor:
    """∇² of the instances' mean loss at the resident's weights, times a vector [p], fp32.

    Fused attention has no second derivative, so this runs unfused and keeps the graph of the gradient.
    """
    with sdpa_kernel(SDPBackend.MATH):
        return second_derivative(losses_of(resident, tokens).mean(), resident.parameters.tensors, vector).float()


def second_derivative(loss: Tensor, weights: Sequence[Tensor], vector: Tensor) -> Tensor:
    """∇²loss · vector [p] as ∇(∇lossᵀ vector) (Pearlmutter 1994), in the weights' order and precision."""
    gradients = torch.autograd.grad(loss, weights, create_graph=True)
    inner = torch.cat([gradient.reshape(-1) for gradient in gradients]) @ vector
    return torch.cat([part.reshape(-1) for part in torch.autograd.grad(inner, weights)])
