"""EK-FAC influence at the end of training, and the accurate solve of the same equation."""

import torch
from torch import Tensor

from workers.bench.cases import Case
from workers.bench.cost import offline
from workers.bench.methods.end_point import end_point_curvature
from workers.engine.accurate import accurate
from workers.engine.ekfac import EkfacCurvature
from workers.engine.fisher_product import FisherProduct
from workers.engine.right_hand_side import instance_weights

# Of the mean eigenvalue of each matrix (Grosse et al. 2023, arXiv:2308.03296, section 3.2).
DAMPING_SHARE = 0.1


def ekfac(case: Case, b: Tensor) -> Tensor:
    """(EK-FAC + damping)⁻¹ b [p], the removed still in the factors, which are fitted once for an adapter."""
    curvature = training_ekfac(case)
    return curvature.solve(b, DAMPING_SHARE * curvature.mean_eigenvalues())


def accurate_retained(case: Case, b: Tensor) -> Tensor:
    """(F + D)⁻¹ b [p] with F of every instance that is left: no sketch, and the removed not in it."""
    line = case.line
    trained = [example.id for example in line.data.examples]
    weights, edited = instance_weights(trained, line.training_record), {change.instance_id for change in case.changes}
    remaining = [(line.tokens[name], weights[name]) for name in trained if name not in edited]
    remaining += [(change.new, change.weight) for change in case.changes if change.new is not None]
    tokens, shares = [tokens for tokens, _ in remaining], [share for _, share in remaining]
    generator = torch.Generator().manual_seed(case.seed)
    damping = end_point_curvature(case).damping
    return accurate(FisherProduct.sampled(line.resident, tokens, shares, generator), damping, b).x


def training_ekfac(case: Case) -> EkfacCurvature:
    """EK-FAC of the whole training set at the weights in the resident: made before any request arrives."""
    line = case.line
    weights = instance_weights([example.id for example in line.data.examples], line.training_record)
    trained = [line.tokens[name] for name in weights]
    with offline():
        return EkfacCurvature.fit(line.resident, trained, list(weights.values()), torch.Generator().manual_seed(0))
