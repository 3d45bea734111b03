"""Damping: what keeps the solve from moving further than the training run could have."""

import torch
from torch import Tensor

from workers.engine.record import TrainingRecord

# Without a record: this share of the mean eigenvalue (Grosse et al. 2023, arXiv:2308.03296, section 3.2).
MEAN_EIGENVALUE_SHARE = 0.1


def damping_diagonal(record: TrainingRecord | None, trace: float, size: int, device: torch.device) -> Tensor:
    """D [p] > 0, fp32, up to the multiplier c that calibration sets.

    With a record, Adam's own metric: T steps under a fixed preconditioner P = 1/(√v̂ + ε) act like the
    filter (1 − exp(−Ση P G))/G, whose Tikhonov surrogate has D = P⁻¹(1/Ση + weight decay). Without
    one, 0.1 × the mean eigenvalue trace(G)/p in every direction.

    Memory: 4p bytes.
    """
    if record is None:
        return torch.full((size,), max(MEAN_EIGENVALUE_SHARE * trace / size, torch.finfo(torch.float32).tiny)).to(
            device
        )
    metric = record.second_moments.to(device).clamp(min=0).sqrt() + record.epsilon
    return metric * (1 / sum(record.learning_rates) + record.weight_decay)
