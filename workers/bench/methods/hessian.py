"""Products with the Hessian of the training loss, by differentiating twice."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from workers.bench.methods.descent import losses_of
from workers.engine.resident import Resident
from workers.engine.tokens import Tokens


def hessian_products(resident: Resident, tokens: Sequence[Tokens], vectors: Tensor) -> Tensor:
    """∇² of the instances' mean loss at the resident's weights, times each of the vectors [k, p], fp32.

    Fused attention has no second derivative, so this runs unfused and keeps the graph of the gradient.
    """
    with sdpa_kernel(SDPBackend.MATH):
        return second_derivatives(losses_of(resident, tokens).mean(), resident.parameters.tensors, vectors).float()


def second_derivatives(loss: Tensor, weights: Sequence[Tensor], vectors: Tensor) -> Tensor:
    """∇²loss · v for each vector [k, p] as ∇(∇lossᵀ v) (Pearlmutter 1994), in the weights' order and precision.

    The gradient is differentiated once for all of them.
    """
    gradient = torch.cat([part.reshape(-1) for part in torch.autograd.grad(loss, weights, create_graph=True)])
    parts = torch.autograd.grad(gradient, weights, grad_outputs=vectors.to(gradient), is_grads_batched=True)
    return torch.cat([part.reshape(len(vectors), -1) for part in parts], dim=1)
