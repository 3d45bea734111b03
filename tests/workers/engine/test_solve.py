"""Solving with rows against brute force: the dense matrix, term by term, and an exact fp64 solve."""

import pytest
import torch
from torch import Tensor

from workers.engine.curvature import Curvature
from workers.engine.solve import SOLVERS, Factorised, Solver

P, TRAINED, REMOVED, ADDED = 40, 12, 3, 2


@pytest.fixture
def rows() -> Tensor:
    return torch.randn(TRAINED, P, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def added() -> Tensor:
    return torch.randn(ADDED, P, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def damping() -> Tensor:
    return torch.rand(P, generator=torch.Generator().manual_seed(2)) + 0.05


@pytest.fixture
def b() -> Tensor:
    return torch.randn(P, generator=torch.Generator().manual_seed(3))


def without_removed() -> Tensor:
    return torch.tensor([0.0] * REMOVED + [1.0] * (TRAINED - REMOVED))


@pytest.mark.parametrize("name", sorted(SOLVERS))
@pytest.mark.parametrize("multiplier", [0.01, 1.0, 30.0])
def test_it_inverts_g_minus_old_plus_new_plus_damping(
    name: str, multiplier: float, rows: Tensor, added: Tensor, damping: Tensor, b: Tensor
) -> None:
    old = rows[:REMOVED].double()
    dense = (
        rows.double().T @ rows.double()
        - old.T @ old
        + added.double().T @ added.double()
        + multiplier * damping.double().diag()
    )
    exact = torch.linalg.solve(dense, b.double())
    curvature = Curvature.of(rows, multiplier * damping).scaled(without_removed()).extended(added)

    solution = SOLVERS[name](curvature, b)

    torch.testing.assert_close(solution.x.double(), exact, rtol=1e-3, atol=1e-4 * float(exact.abs().max()))
    assert solution.residual < 1e-3


def test_conjugate_gradients_and_woodbury_agree(rows: Tensor, damping: Tensor, b: Tensor) -> None:
    curvature = Curvature.of(rows, 0.1 * damping)
    direct, iterative = SOLVERS["woodbury"](curvature, b), SOLVERS["cg"](curvature, b)
    assert float((direct.x - iterative.x).norm() / direct.x.norm()) < 1e-5
    # Preconditioned by D, a matrix of m rows has at most m + 1 distinct eigenvalues.
    assert 0 < iterative.iterations <= TRAINED + 3


def test_the_operator_is_the_dense_matrix(rows: Tensor, added: Tensor, damping: Tensor, b: Tensor) -> None:
    curvature = Curvature.of(rows, 2.0 * damping).scaled(without_removed() * 1.5).extended(added)
    kept = 1.5 * rows[REMOVED:]
    dense = kept.T @ kept + added.T @ added + 2 * damping.diag()
    torch.testing.assert_close(curvature.apply(b.double()), (dense @ b).double(), rtol=1e-5, atol=1e-5)


def test_dropping_every_row_leaves_the_damping(rows: Tensor, damping: Tensor, b: Tensor) -> None:
    curvature = Curvature.of(rows, 0.5 * damping).scaled(torch.zeros(TRAINED))
    for solver in SOLVERS.values():
        torch.testing.assert_close(solver(curvature, b).x, b / (0.5 * damping))


def test_a_right_hand_side_of_zero_is_answered_with_zero(rows: Tensor, damping: Tensor) -> None:
    curvature = Curvature.of(rows, damping)
    for solver in SOLVERS.values():
        solution = solver(curvature, torch.zeros(P))
        assert not solution.x.any()
        assert solution.residual == 0.0


def test_rows_may_be_stored_in_half_precision(rows: Tensor, damping: Tensor, b: Tensor) -> None:
    full = SOLVERS["woodbury"](Curvature.of(rows, damping), b)
    half = SOLVERS["woodbury"](Curvature.of(rows.bfloat16(), damping), b)
    assert half.residual < 1e-3  # exact for the matrix it stores …
    assert float((half.x - full.x).norm() / full.x.norm()) < 0.02  # … which is rounded to 8 bits


def test_the_memory_of_a_solve_is_linear_in_p() -> None:
    """A dense curvature of this size would take 160 GB."""
    size = 200_000
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(8, size, generator=generator)
    solver: Solver = SOLVERS["woodbury"]
    solution = solver(Curvature.of(rows, torch.ones(size)), torch.randn(size, generator=generator))
    assert solution.residual < 1e-3


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("name", sorted(SOLVERS))
def test_a_gpu_solves_the_same_system(name: str, rows: Tensor, damping: Tensor, b: Tensor) -> None:
    expected = SOLVERS[name](Curvature.of(rows, damping), b)
    found = SOLVERS[name](Curvature.of(rows.cuda(), damping.cuda()), b.cuda())
    torch.testing.assert_close(found.x.cpu(), expected.x, rtol=1e-3, atol=1e-4)


def in_double(count: int, seed: int) -> Tensor:
    return torch.randn(count, P, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("multiplier", [0.1, 1.0])
def test_one_factorisation_inverts_for_every_right_hand_side(multiplier: float, damping: Tensor) -> None:
    rows, added, sides = in_double(TRAINED, 0), in_double(ADDED, 1), in_double(5, 2)
    kept = without_removed().double() * 1.5
    curvature = Curvature.of(rows, multiplier * damping.double()).scaled(kept).extended(added)
    inverse = Factorised(curvature)
    scaled = torch.cat([kept[:, None] * rows, added])
    dense = scaled.T @ scaled + multiplier * damping.double().diag()
    for b in sides:
        exact = torch.linalg.solve(dense, b)
        assert float((inverse(b) - exact).norm() / exact.norm()) < 1e-9


def test_the_inverse_undoes_the_operator(rows: Tensor, damping: Tensor, b: Tensor) -> None:
    curvature = Curvature.of(rows.double(), damping.double())
    assert float((Factorised(curvature)(curvature.apply(b.double())) - b).norm() / b.norm()) < 1e-9
