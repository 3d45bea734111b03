"""Damping: what keeps a solve from moving further than the training run could have."""

import torch
from torch import Tensor

# Without a record: this share of the mean eigenvalue (Grosse et al. 2023, arXiv:2308.03296, section 3.2).
MEAN_EIGENVALUE_SHARE = 0.1


def adam_damping(second_moments: Tensor, epsilon: float, rates: float, weight_decay: float) -> Tensor:
    """D = (√v̂ + ε)(1/Ση + weight decay) [p] > 0: Adam's own metric over steps whose learning rates sum to `rates`.

    Steps under a fixed preconditioner P = 1/(√v̂ + ε) act on the gradient like the spectral filter
    (1 − exp(−Ση P G))/G, whose Tikhonov surrogate is (G + P⁻¹/Ση)⁻¹; decoupled weight decay adds its
    own multiple of P⁻¹. For calibration to scale by c.

    Memory: 4p bytes.
    """
    return (second_moments.clamp(min=0).sqrt() + epsilon) * (1 / rates + weight_decay)


def mean_eigenvalue_damping(trace: float, size: int, device: torch.device) -> Tensor:
    """D = 0.1 · trace(G)/p in every direction [p] > 0: the damping of an adapter without a training record."""
    level = max(MEAN_EIGENVALUE_SHARE * trace / size, torch.finfo(torch.float32).tiny)
    return torch.full((size,), level, device=device)
