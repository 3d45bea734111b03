"""One gradient of one instance costs 1, wherever and however it is computed."""

import time

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from workers.bench.cases import Line
from workers.bench.cost import metered, offline
from workers.engine.evaluation import adapter_losses
from workers.engine.gradients import weighted_gradient
from workers.engine.losses import instance_losses
from workers.engine.tokens import Tokens, collate


@pytest.fixture
def five(line: Line) -> list[Tokens]:
    return list(line.tokens.values())[:5]


def test_a_gradient_counts_one_an_instance(line: Line, five: list[Tokens]) -> None:
    with metered(line.resident.model) as cost:
        weighted_gradient(line.resident, five, [1.0] * 5)
    assert cost.instance_gradients == pytest.approx(5)


def test_a_forward_pass_counts_a_third(line: Line, five: list[Tokens]) -> None:
    with metered(line.resident.model) as cost:
        adapter_losses(line.resident, five)
    assert cost.instance_gradients == pytest.approx(5 / 3)


def test_a_hessian_product_counts_more_than_a_gradient(line: Line, five: list[Tokens]) -> None:
    weights = [weight for weight in line.resident.model.parameters() if weight.requires_grad]
    batch = collate(five, line.resident.pad_id)
    with metered(line.resident.model) as cost, sdpa_kernel(SDPBackend.MATH):
        loss = instance_losses(line.resident.model, batch).sum()
        gradients = torch.autograd.grad(loss, weights, create_graph=True)
        length = torch.stack([gradient.square().sum() for gradient in gradients]).sum()
        torch.autograd.grad(length, weights)
    assert cost.instance_gradients == pytest.approx(5 * (1 / 3 + 2 / 3 + 2 / 3))


def test_work_done_offline_counts_neither_passes_nor_time(line: Line, five: list[Tokens]) -> None:
    with metered(line.resident.model) as cost:
        with offline():
            weighted_gradient(line.resident, five, [1.0] * 5)
            time.sleep(0.2)
        adapter_losses(line.resident, five[:1])
    assert cost.instance_gradients == pytest.approx(1 / 3)
    assert 0 < cost.seconds < 0.2


def test_nothing_is_counted_after_the_block(line: Line, five: list[Tokens]) -> None:
    with metered(line.resident.model) as cost:
        pass
    adapter_losses(line.resident, five)
    assert cost.instance_gradients == 0
