"""Matrix-free Fisher products and the accurate tier, against explicit rows."""

import pytest
import torch
from torch import Tensor

from service.domain.adapters import LoraSpec
from tests.workers.engine.test_fisher import INSTANCES, perturb, tokens
from workers.engine.accurate import accurate, pcg
from workers.engine.ekfac import EkfacCurvature
from workers.engine.fisher import fisher_rows
from workers.engine.fisher_product import FisherProduct, with_sampled_labels
from workers.engine.loading import BaseModel
from workers.engine.resident import Resident

WEIGHTS = [0.5, 0.2, 0.3]


def rows_and_product(resident: Resident) -> tuple[Tensor, FisherProduct]:
    perturb(resident)
    rows = torch.cat(list(fisher_rows(resident, INSTANCES, WEIGHTS, torch.Generator().manual_seed(3))))
    return rows, FisherProduct.sampled(resident, INSTANCES, WEIGHTS, torch.Generator().manual_seed(3))


def vector(size: int, seed: int = 0) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("micro_batch", [1, 2, 256])
def test_a_product_is_that_of_the_rows_with_the_same_labels(resident: Resident, micro_batch: int) -> None:
    rows, product = rows_and_product(resident)
    resident.micro_batch.size = micro_batch
    v = vector(resident.parameters.size)
    expected = rows.T.double() @ (rows.double() @ v.double())
    found = product(v)
    assert float((found - expected).norm() / expected.norm()) < 1e-5


def test_checkpointing_does_not_change_it(resident: Resident) -> None:
    _, product = rows_and_product(resident)
    v = vector(resident.parameters.size)
    plain = product(v)
    resident.base.model.activation_checkpointing_enable({"use_reentrant": False})
    resident.model.train()
    torch.testing.assert_close(product(v), plain, rtol=1e-4, atol=1e-5 * float(plain.abs().max()))


def test_no_gradient_is_left_behind_and_the_precision_of_the_vector_is_kept(resident: Resident) -> None:
    _, product = rows_and_product(resident)
    assert product(vector(resident.parameters.size).double()).dtype == torch.float64
    assert not resident.parameters.gradient().any()


def test_labels_are_drawn_only_where_there_is_a_loss(resident: Resident) -> None:
    drawn = with_sampled_labels(resident, INSTANCES, torch.Generator().manual_seed(0))
    assert [instance.ids for instance in drawn] == [instance.ids for instance in INSTANCES]
    assert [instance.label_count for instance in drawn] == [instance.label_count for instance in INSTANCES]


def test_pcg_solves_a_dense_system_and_a_perfect_preconditioner_needs_one_product() -> None:
    root = torch.randn(40, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    matrix = root @ root.T + torch.eye(40, dtype=torch.float64)
    b = vector(40).double()
    solution = pcg(lambda v: matrix @ v, lambda v: v, b, tolerance=1e-10, max_products=200)
    torch.testing.assert_close(matrix @ solution.x, b, rtol=1e-8, atol=1e-8)
    assert pcg(lambda v: matrix @ v, lambda v: torch.linalg.solve(matrix, v), b).iterations == 1


def test_pcg_of_nothing_is_nothing() -> None:
    solution = pcg(lambda v: v, lambda v: v, torch.zeros(3))
    assert not solution.x.any()
    assert solution.iterations == 0


@pytest.mark.parametrize("preconditioner", ["diagonal", "ekfac"])
def test_the_accurate_tier_solves_the_same_system_as_the_rows(llama: BaseModel, preconditioner: str) -> None:
    resident = Resident(llama, LoraSpec(r=1, alpha=2, target_modules=("v_proj",)))
    perturb(resident)
    instances = [tokens(6, 2, seed) for seed in range(8)]
    weights = [1 / 8] * 8
    rows = torch.cat(list(fisher_rows(resident, instances, weights, torch.Generator().manual_seed(3)))).double()
    product = FisherProduct.sampled(resident, instances, weights, torch.Generator().manual_seed(3))
    ekfac = EkfacCurvature.fit(resident, instances, weights, torch.Generator().manual_seed(4))
    size = resident.parameters.size
    damping = (0.5 + torch.rand(size, generator=torch.Generator().manual_seed(5))) * float(rows.square().sum()) / size
    b = vector(size)
    precondition = (lambda v: ekfac.solve(v, damping)) if preconditioner == "ekfac" else None
    solution = accurate(product, damping, b, precondition=precondition, tolerance=1e-5, max_products=200)
    residual = rows.T @ (rows @ solution.x.double()) + damping * solution.x - b
    assert float(residual.norm() / b.norm()) < 1e-4
    assert solution.residual <= 1e-5
