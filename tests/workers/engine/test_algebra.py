"""The algebra of an update in both precisions: operator, solves, down-date and right-hand side against brute force."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pytest
import torch
from torch import Tensor

from service.domain.engine import TrainingSet
from tests.workers.engine.small_data import encode_all
from workers.engine.curvature import COLUMNS, Curvature
from workers.engine.resident import Resident
from workers.engine.right_hand_side import Change, right_hand_side
from workers.engine.solve import Solver, cg, woodbury
from workers.engine.tokens import NO_LOSS, Tokens

# Wider than one block of columns, so that the sums over blocks are seen too; the dense algebra is on a few rows only.
WIDE = COLUMNS + 100
P, TRAINED, REMOVED = 60, 20, 5
PRECISIONS = [(torch.float32, 1e-5), (torch.float64, 1e-9)]
EXACT_CG = partial(cg, tolerance=1e-13)


@dataclass(frozen=True, slots=True)
class System:
    """Rows [m, p], damping [p] and a right-hand side [p], of one precision."""

    rows: Tensor
    damping: Tensor
    b: Tensor

    @property
    def curvature(self) -> Curvature:
        return Curvature.of(self.rows, self.damping)

    def dense(self, rows: Tensor) -> Tensor:
        """rowsᵀ rows + D [p, p], fp64."""
        return rows.double().T @ rows.double() + self.damping.double().diag()


def system(dtype: torch.dtype, size: int = P) -> System:
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    return System(draw(TRAINED, size).to(dtype), (draw(size).abs() + 0.5).to(dtype), draw(size).to(dtype))


def error(found: Tensor, exact: Tensor) -> float:
    return float((found.double() - exact).norm() / exact.norm())


@pytest.mark.parametrize(("dtype", "bound"), PRECISIONS)
def test_the_operator_is_the_dense_matrix(dtype: torch.dtype, bound: float) -> None:
    given = system(dtype)
    assert error(given.curvature.apply(given.b.double()), given.dense(given.rows) @ given.b.double()) < bound


@pytest.mark.parametrize(("dtype", "bound"), PRECISIONS)
def test_sums_over_blocks_of_columns_lose_nothing(dtype: torch.dtype, bound: float) -> None:
    given = system(dtype, WIDE)
    rows, damping, b = given.rows.double(), given.damping.double(), given.b.double()
    assert error(given.curvature.gram, (rows / damping) @ rows.T) < bound
    assert error(given.curvature.apply(b), rows.T @ (rows @ b) + damping * b) < bound


@pytest.mark.parametrize(("dtype", "bound"), PRECISIONS)
@pytest.mark.parametrize("solver", [woodbury, EXACT_CG], ids=["woodbury", "cg"])
def test_a_solve_is_the_dense_solve(solver: Solver, dtype: torch.dtype, bound: float) -> None:
    given = system(dtype)
    solution = solver(given.curvature, given.b)
    assert solution.x.dtype == dtype
    assert error(solution.x, torch.linalg.solve(given.dense(given.rows), given.b.double())) < bound


@pytest.mark.parametrize(("dtype", "bound"), PRECISIONS)
@pytest.mark.parametrize("solver", [woodbury, EXACT_CG], ids=["woodbury", "cg"])
def test_taking_rows_out_is_never_having_had_them(solver: Solver, dtype: torch.dtype, bound: float) -> None:
    """Down-dated, the curvature is that of the retained instances alone: G − G_old + D."""
    given = system(dtype)
    kept = torch.tensor([0.0] * REMOVED + [1.0] * (TRAINED - REMOVED))
    down_dated, b = given.curvature.scaled(kept), given.b.double()
    old = given.rows[:REMOVED].double()
    dense = given.dense(given.rows) - old.T @ old

    assert error(down_dated.apply(b), dense @ b) < bound
    assert error(solver(down_dated, given.b).x, torch.linalg.solve(dense, b)) < bound
    retained = Curvature.of(given.rows[REMOVED:], given.damping)
    assert error(solver(down_dated, given.b).x, solver(retained, given.b).x.double()) < bound


@pytest.mark.parametrize(("dtype", "bound"), PRECISIONS)
def test_putting_rows_in_is_always_having_had_them(dtype: torch.dtype, bound: float) -> None:
    given = system(dtype)
    extended = Curvature.of(given.rows[REMOVED:], given.damping).extended(given.rows[:REMOVED])
    exact = torch.linalg.solve(given.dense(given.rows), given.b.double())
    assert error(woodbury(extended, given.b).x, exact) < bound


def test_blocks_of_unlike_precision_go_together() -> None:
    given = system(torch.float64)
    mixed = Curvature.of(given.rows[REMOVED:], given.damping).extended(given.rows[:REMOVED].float())
    rows = torch.cat([given.rows[REMOVED:], given.rows[:REMOVED].float().double()])
    assert error(woodbury(mixed, given.b).x, torch.linalg.solve(given.dense(rows), given.b)) < 1e-5


@pytest.fixture
def changes(resident: Resident, data: TrainingSet) -> list[Change]:
    """A removal and a correction, with unequal weights."""
    tokens = encode_all(resident, data)
    first, second, third = (example.id for example in data.examples[:3])
    return [Change(first, 0.02, tokens[first], None), Change(second, 0.05, tokens[second], tokens[third])]


def in_double(resident: Resident, objective: Callable[[Resident], Tensor]) -> Tensor:
    """The gradient of a scalar by automatic differentiation [p], with the whole model in fp64."""
    torch.nn.Module.to(resident.model, torch.float64)
    gradients = torch.autograd.grad(objective(resident), resident.parameters.tensors)
    return torch.cat([gradient.reshape(-1) for gradient in gradients])


def loss(resident: Resident, tokens: Tokens) -> Tensor:
    """An instance's mean negative log-likelihood, written out: one instance, no padding, label after label."""
    ids = torch.tensor([tokens.ids])
    log_probabilities = resident.model(input_ids=ids).logits[0].log_softmax(-1)
    told = [log_probabilities[position - 1, label] for position, label in enumerate(tokens.labels) if label != NO_LOSS]
    return -torch.stack(told).mean()


def test_the_right_hand_side_is_the_gradient_that_differentiation_gives(
    resident: Resident, changes: list[Change]
) -> None:
    start = torch.randn(resident.parameters.size, generator=torch.Generator().manual_seed(0))
    resident.parameters.set(0.2 * start)
    b = right_hand_side(resident, changes)

    def taken_away(resident: Resident) -> Tensor:
        sides = [change.weight * loss(resident, change.old) for change in changes]
        sides += [-change.weight * loss(resident, change.new) for change in changes if change.new is not None]
        return torch.stack(sides).sum()

    assert error(b, in_double(resident, taken_away)) < 1e-5
