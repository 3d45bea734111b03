"""EK-FAC against dense computations on a tiny model."""

import math

import pytest
import torch
from torch import Tensor

from service.domain.adapters import LoraSpec
from tests.workers.engine.small_data import CPU
from tests.workers.engine.test_fisher import perturb, tokens
from workers.engine.eigen import Covariance
from workers.engine.ekfac import EkfacCurvature, kronecker_factors
from workers.engine.fisher import fisher_rows
from workers.engine.loading import BaseModel
from workers.engine.resident import Resident

INSTANCES = [tokens(length, count, seed) for seed, (length, count) in enumerate([(6, 2), (9, 3), (4, 1), (7, 4)])]
WEIGHTS = [0.4, 0.1, 0.2, 0.3]


@pytest.fixture
def small(llama: BaseModel) -> Resident:
    resident = Resident(llama, LoraSpec(r=3, alpha=3, target_modules=("v_proj", "down_proj")))
    perturb(resident)
    return resident


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def second_rows(resident: Resident, seed: int) -> Tensor:
    """The rows that `fit` measures its eigenvalues with: those after the labels and seeds of its first pass."""
    generator = seeded(seed)
    kronecker_factors(resident, INSTANCES, WEIGHTS, generator, 256)
    return torch.cat(list(fisher_rows(resident, INSTANCES, WEIGHTS, generator))).double()


def dense_basis(curvature: EkfacCurvature, index: int) -> Tensor:
    """The eigenvectors of one block as columns [size, r · k], of vectors in the adapter's own order."""
    block = curvature.blocks[index]
    pairs = torch.einsum("ra,db->abrd", block.short.double(), block.long.double())
    return torch.stack([block.vector(pair) for pair in pairs.flatten(0, 1)], 1)


def test_factors_of_one_token_are_exact(small: Resident) -> None:
    # One instance with one token before its label: its row is an outer product, and the factors know all of it.
    instance, weight = tokens(2, 1, seed=5), 0.3
    factors = kronecker_factors(small, [instance], [weight], seeded(), 256)
    row = next(iter(fisher_rows(small, [instance], [weight], seeded())))[0].double()
    for name, columns in small.parameters.slices.items():
        short, long = (covariance.total for covariance in factors[name])
        left, right = (long, short) if ".lora_B." in name else (short, long)
        found = torch.kron(left, right / weight if right is long else right)
        found = found if right is long else found / weight
        torch.testing.assert_close(found, torch.outer(row[columns], row[columns]), rtol=1e-3, atol=1e-8)


def test_factors_add_up_over_instances_and_batches(small: Resident) -> None:
    together = kronecker_factors(small, INSTANCES, WEIGHTS, seeded(), 256)
    small.micro_batch.size = 1
    alone = kronecker_factors(small, INSTANCES, WEIGHTS, seeded(), 256)
    for name in small.parameters.names:
        for found, expected in zip(alone[name], together[name], strict=True):
            torch.testing.assert_close(
                found.total, expected.total, rtol=0, atol=5e-6 * float(expected.total.abs().max())
            )


def test_eigenvalues_are_the_diagonal_of_the_exact_block_in_the_basis(small: Resident) -> None:
    curvature = EkfacCurvature.fit(small, INSTANCES, WEIGHTS, seeded())
    rows = second_rows(small, 0)
    for index, block in enumerate(curvature.blocks):
        exact = (rows[:, block.columns] @ dense_basis(curvature, index)).square().sum(0)
        torch.testing.assert_close(
            block.eigenvalues.double().reshape(-1), exact, rtol=1e-3, atol=1e-6 * float(exact.max())
        )


def test_the_trace_is_that_of_the_rows_whatever_the_rank(small: Resident) -> None:
    for rank in (2, 256):
        curvature = EkfacCurvature.fit(small, INSTANCES, WEIGHTS, seeded(), rank)
        assert curvature.trace == pytest.approx(float(second_rows(small, 0).square().sum()), rel=1e-4)


def test_apply_is_the_dense_matrix_of_the_basis(small: Resident) -> None:
    curvature = EkfacCurvature.fit(small, INSTANCES, WEIGHTS, seeded())
    v = torch.randn(small.parameters.size, generator=seeded(1), dtype=torch.float64)
    for index, block in enumerate(curvature.blocks):
        basis = dense_basis(curvature, index)
        expected = basis @ (block.eigenvalues.double().reshape(-1) * (basis.T @ v[block.columns]))
        torch.testing.assert_close(curvature.apply(v)[block.columns], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("rank", [2, 256])
def test_solve_undoes_apply(small: Resident, rank: int) -> None:
    curvature = EkfacCurvature.fit(small, INSTANCES, WEIGHTS, seeded(), rank)
    v = torch.randn(small.parameters.size, generator=seeded(1), dtype=torch.float64)
    for damping in (0.1, curvature.mean_eigenvalues()):
        torch.testing.assert_close(curvature.solve(curvature.apply(v, damping), damping), v, rtol=1e-3, atol=1e-4)


def test_a_diagonal_damping_counts_as_its_mean_over_each_matrix(small: Resident) -> None:
    curvature = EkfacCurvature.fit(small, INSTANCES, WEIGHTS, seeded())
    damping = 0.1 + torch.rand(small.parameters.size, generator=seeded(2))
    means = damping.clone()
    for block in curvature.blocks:
        means[block.columns] = damping[block.columns].mean()
    v = torch.randn(small.parameters.size, generator=seeded(1))
    torch.testing.assert_close(curvature.solve(v, damping), curvature.solve(v, means))


def test_a_streamed_range_finds_the_leading_eigenvectors() -> None:
    size, rank = 80, 6
    frame = torch.linalg.qr(torch.randn(size, size, generator=seeded(0)))[0]
    spread = torch.tensor([10.0, 8.0, 6.0, 5.0, 4.0, 3.0]).sqrt()
    leading = torch.randn(3000, rank, generator=seeded(1)) * spread @ frame[:, :rank].T
    vectors = leading + 0.05 * torch.randn(3000, size, generator=seeded(2))
    dense = Covariance(size, rank, seeded(), CPU)
    streamed = Covariance(size, rank, seeded(), CPU, dense_side=10)
    for part in vectors.split(700):
        dense.add(part)
        streamed.add(part)
    assert streamed.total.shape == (size, rank + 10)
    overlap = dense.basis().T @ streamed.basis()
    assert float(overlap.square().sum()) == pytest.approx(rank, rel=1e-3)
    torch.testing.assert_close(streamed.basis().T @ streamed.basis(), torch.eye(rank), rtol=1e-5, atol=1e-5)


def test_a_covariance_of_less_than_its_rank_has_fewer_eigenvectors() -> None:
    streamed = Covariance(60, 8, seeded(), CPU, dense_side=10)
    streamed.add(torch.randn(3, 60, generator=seeded(1)))
    assert streamed.basis().shape == (60, 3)


def test_a_covariance_of_nothing_has_no_direction() -> None:
    assert Covariance(60, 8, seeded(), CPU, dense_side=10).basis().shape == (60, 0)


def test_matrices_without_gradient_are_harmless(llama: BaseModel) -> None:
    resident = Resident(llama, LoraSpec(r=2, alpha=2, target_modules=("v_proj",)))
    resident.initialise(0)  # B is zero, so no gradient reaches A.
    curvature = EkfacCurvature.fit(resident, INSTANCES, WEIGHTS, seeded())
    x = curvature.solve(torch.zeros(resident.parameters.size), 0.1 * curvature.mean_eigenvalues())
    assert math.isfinite(float(x.norm()))
