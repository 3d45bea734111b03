"""The second-order peers that invert EK-FAC or solve accurately, on a real but tiny line."""

import pytest
import torch
from torch import Tensor

from service.domain.instances import Content
from service.domain.ledger import Edit
from workers.bench.cases import Case, Line
from workers.bench.cost import metered
from workers.bench.lines import case_of
from workers.bench.methods.ekfac import DAMPING_SHARE, accurate_retained, ekfac, training_ekfac
from workers.bench.methods.end_point import EndPoint, end_point_curvature
from workers.bench.methods.goals import goal_loss
from workers.bench.methods.kfade import KFade
from workers.bench.methods.method import Method
from workers.engine.evaluation import adapter_losses
from workers.engine.fisher import fisher_rows
from workers.engine.predictions import shift
from workers.engine.right_hand_side import right_hand_side

pytestmark = pytest.mark.slow


@pytest.fixture
def case(line: Line) -> Case:
    return case_of(line, [Edit(f"row-{index}", None) for index in range(3)], 0)


def forgotten_loss(case: Case, weights: Tensor) -> float:
    case.line.resident.parameters.set(weights)
    return float(adapter_losses(case.line.resident, case.old).mean())


def right_side(case: Case) -> Tensor:
    case.line.resident.parameters.set(case.line.anchor)
    return right_hand_side(case.line.resident, case.changes)


@pytest.mark.parametrize(
    "method",
    [EndPoint(ekfac), EndPoint(ekfac, calibrated=True), EndPoint(accurate_retained, calibrated=True), KFade()],
    ids=["ekfac", "ekfac-calibrated", "accurate", "k-fade"],
)
def test_the_forgotten_become_less_likely(case: Case, method: Method) -> None:
    weights = method(case)
    assert torch.isfinite(weights).all()
    assert forgotten_loss(case, weights) > forgotten_loss(case, case.line.anchor)


def test_k_fade_stops_at_the_goal_and_within_the_retained_budget(case: Case) -> None:
    weights = KFade()(case)
    line = case.line
    line.resident.parameters.set(line.anchor)
    assert forgotten_loss(case, weights) <= max(goal_loss(case), forgotten_loss(case, line.anchor)) + 1e-3
    assert shift(line.resident, case.retained, line.anchor, weights).divergence <= line.preparation.kl_budget + 1e-4


def test_k_fade_takes_new_contents_too(line: Line) -> None:
    edits = [Edit("row-4", Content(prompt="row4:", completion="hhhhh"))]
    assert torch.isfinite(KFade(steps=2)(case_of(line, edits, 0))).all()


def test_ekfac_solves_its_own_equation(case: Case) -> None:
    b = right_side(case)
    x = ekfac(case, b)
    curvature = training_ekfac(case)
    found = curvature.apply(x, DAMPING_SHARE * curvature.mean_eigenvalues())
    assert float((found - b).norm() / b.norm()) < 1e-3


def test_factors_cost_a_request_nothing(case: Case) -> None:
    with metered(case.line.resident.model) as cost:
        training_ekfac(case)
    assert cost.instance_gradients == 0


def test_the_accurate_solve_leaves_the_removed_out(case: Case) -> None:
    b = right_side(case)
    x = accurate_retained(case, b).double()
    damping = end_point_curvature(case).damping
    share = case.changes[0].weight
    generator = torch.Generator().manual_seed(case.seed)
    parts = fisher_rows(case.line.resident, case.retained, [share] * len(case.retained), generator)
    rows = torch.cat(list(parts)).double()
    residual = rows.T @ (rows @ x) + damping * x - b
    assert float(residual.norm() / b.norm()) < 1e-2
