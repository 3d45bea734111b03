"""Gram matrices of rows: one side of the diagonal tells the other, across blocks of rows and columns."""

import pytest
import torch
from torch import Tensor

from workers.engine.curvature import COLUMNS, SIDE, Curvature, gram_matrix, own_gram_matrix, stacked

CPU = torch.device("cpu")


def rows(count: int, size: int, seed: int = 0) -> Tensor:
    return torch.randn(count, size, generator=torch.Generator().manual_seed(seed))


def damping(size: int) -> Tensor:
    return torch.rand(size, generator=torch.Generator().manual_seed(9)) + 0.5


@pytest.mark.parametrize(
    ("count", "size"), [(7, 30), (SIDE + 3, 30), (2 * SIDE, 5), (3, COLUMNS + 50), (1, 1), (0, 4)]
)
def test_rows_among_themselves_are_rows_among_others(count: int, size: int) -> None:
    left = rows(count, size)
    torch.testing.assert_close(
        own_gram_matrix(left, damping(size)), gram_matrix(left, left, damping(size)), rtol=1e-4, atol=1e-3
    )


def test_a_gram_matrix_is_symmetric_to_the_last_bit() -> None:
    found = own_gram_matrix(rows(SIDE + 40, 60), damping(60))
    assert torch.equal(found, found.T)


def test_in_double_precision_it_is_the_dense_product() -> None:
    left, metric = rows(SIDE + 5, 40).double(), damping(40).double()
    torch.testing.assert_close(own_gram_matrix(left, metric), (left / metric) @ left.T, rtol=1e-12, atol=1e-10)


def test_half_precision_is_widened_first() -> None:
    left = rows(20, 50).bfloat16()
    torch.testing.assert_close(
        own_gram_matrix(left, damping(50)), own_gram_matrix(left.float(), damping(50)), rtol=0, atol=0
    )


def test_half_precision_rows_are_widened_piece_by_piece() -> None:
    whole = Curvature.of(rows(40, 50).bfloat16(), damping(50))
    wide = Curvature.of(rows(40, 50).bfloat16().double(), damping(50))
    vector, coefficients = rows(1, 50)[0].double(), rows(1, 40)[0].double()
    torch.testing.assert_close(whole.project(vector), wide.project(vector), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(whole.combine(coefficients), wide.combine(coefficients), rtol=1e-5, atol=1e-5)


def test_extending_is_having_had_all_rows() -> None:
    first, second = rows(6, 30), rows(3, 30, seed=1)
    grown = Curvature.of(first, damping(30)).extended(second)
    whole = Curvature.of(torch.cat([first, second]), damping(30))
    torch.testing.assert_close(grown.gram, whole.gram, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(grown.scales, whole.scales)


def test_no_blocks_are_no_rows() -> None:
    empty = stacked([], 5, CPU)
    assert empty.shape == (0, 5)
    curvature = Curvature.of(rows(2, 5), damping(5))
    assert curvature.extended(empty) is curvature
