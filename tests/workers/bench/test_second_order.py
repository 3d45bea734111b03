"""Second-order peers against what they approximate: dense Hessians, direct solves, brute force by layer."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import cross_entropy
from transformers import GPT2Config, GPT2LMHeadModel

from service.domain.ledger import Edit
from workers.bench.cases import Case, Line
from workers.bench.cost import metered
from workers.bench.lines import case_of
from workers.bench.methods.end_point import EndPoint, datainf, end_point_curvature, gauss_newton_cg
from workers.bench.methods.hessian import hessian_products, second_derivatives
from workers.bench.methods.lissa import LiSSA, neumann, stable_scale, top_eigenvalue
from workers.bench.methods.llmeraser import AsReleased, AsWritten, dropout_on, minimise
from workers.engine.losses import instance_losses
from workers.engine.right_hand_side import dropout_off, right_hand_side
from workers.engine.tokens import collate

pytestmark = pytest.mark.slow

IDS = torch.tensor([[1, 4, 2, 3, 0]])


class Small(nn.Module):
    """A GPT-2 of five tokens in fp64 throughout; Llama's norms would round to fp32."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        config = GPT2Config(
            vocab_size=5,
            n_embd=4,
            n_layer=1,
            n_head=2,
            n_positions=8,
            initializer_range=0.5,
            bos_token_id=None,
            eos_token_id=None,
            loss_type="ForCausalLM",  # type: ignore[call-arg]
        )
        self.model = GPT2LMHeadModel(config).double()
        self.model.train(False)

    def forward(self) -> Tensor:
        logits: Tensor = self.model(input_ids=IDS, use_cache=False).logits
        return cross_entropy(logits[0, :-1], IDS[0, 1:])


@pytest.fixture
def case(line: Line) -> Case:
    line.resident.parameters.set(line.anchor)
    return case_of(line, [Edit("row-0", None), Edit("row-1", None), Edit("row-2", None)], 0)


def rows_and_damping(count: int = 24, size: int = 10) -> tuple[Tensor, Tensor]:
    """Rows [m, p] of a well-conditioned G = RᵀR, and D."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(count, size, generator=generator) / count**0.5
    return rows, 0.5 + torch.rand(size, generator=generator)


def direct(matrix: Tensor, b: Tensor) -> Tensor:
    solution: Tensor = torch.linalg.solve(matrix.double(), b.double())
    return solution.float()


def relative(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def test_a_second_derivative_is_a_product_with_the_dense_hessian() -> None:
    small = Small()
    chosen = {name: w for name, w in small.named_parameters() if "attn" in name}
    sizes, shapes = [w.numel() for w in chosen.values()], [w.shape for w in chosen.values()]

    def loss(flat: Tensor) -> Tensor:
        parts = [part.view(shape) for part, shape in zip(torch.split(flat, sizes), shapes, strict=True)]
        found = functional_call(small, dict(zip(chosen, parts, strict=True)), ())
        assert isinstance(found, Tensor)
        return found

    flat = torch.cat([w.detach().reshape(-1) for w in chosen.values()])
    vectors = torch.randn(3, sum(sizes), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    with sdpa_kernel(SDPBackend.MATH):
        dense = torch.autograd.functional.hessian(loss, flat)  # type: ignore[no-untyped-call]
        products = second_derivatives(small(), list(chosen.values()), vectors)
    assert relative(products, vectors @ dense) < 1e-9


def test_a_hessian_product_is_how_the_gradient_changes(case: Case) -> None:
    resident, anchor = case.line.resident, case.line.anchor
    tokens = list(case.old)
    vector = torch.randn(len(anchor), generator=torch.Generator().manual_seed(1))
    (product,) = hessian_products(resident, tokens, vector[None])

    def gradient(shift: float) -> Tensor:
        resident.parameters.set(anchor + shift * vector)
        with dropout_off(resident.model):
            instance_losses(resident.model, collate(tokens, resident.pad_id)).mean().backward()  # type: ignore[no-untyped-call]
        found = resident.parameters.gradient()
        resident.parameters.zero_grad()
        return found

    step = 1e-3
    assert relative((gradient(step) - gradient(-step)) / (2 * step), product) < 1e-2


@pytest.mark.parametrize("vectors", [1, 3])
def test_hessian_products_cost_five_thirds_of_a_gradient(case: Case, vectors: int) -> None:
    """Several vectors share the passes, which flatters whoever needs them."""
    with metered(case.line.resident.model) as cost:
        hessian_products(case.line.resident, case.old, case.line.anchor.expand(vectors, -1))
    assert cost.instance_gradients == pytest.approx(len(case.old) * 5 / 3)


def test_the_power_iteration_bounds_the_top_eigenvalue() -> None:
    rows, _ = rows_and_damping()
    exact = float(torch.linalg.eigvalsh(rows.T @ rows)[-1])
    assert exact < top_eigenvalue(rows) < 1.2 * exact


@pytest.mark.parametrize("batch", [24, 100])
def test_lissa_on_whole_batches_reaches_the_damped_inverse(batch: int) -> None:
    rows, damping = rows_and_damping()
    b = torch.randn(rows.shape[1], generator=torch.Generator().manual_seed(2))
    scale = stable_scale(rows, damping, batch)
    x = neumann(rows, damping, b, scale, batch, 200, torch.Generator().manual_seed(3))
    assert relative(x, direct(rows.T @ rows + damping.diag(), b)) < 1e-4


def test_lissa_on_mini_batches_is_right_on_average() -> None:
    rows, damping = rows_and_damping()
    b = torch.randn(rows.shape[1], generator=torch.Generator().manual_seed(2))
    generator = torch.Generator().manual_seed(3)
    scale = stable_scale(rows, damping, 4)
    series = [neumann(rows, damping, b, scale, 4, 60, generator) for _ in range(100)]
    assert relative(torch.stack(series).mean(0), direct(rows.T @ rows + damping.diag(), b)) < 0.1


@pytest.mark.parametrize("batch", [1, 4, 24])
def test_lissas_scale_keeps_mini_batches_from_diverging(batch: int) -> None:
    """One row far larger than the rest: the top eigenvalue alone would be too small a scale."""
    rows, damping = rows_and_damping()
    rows[0] *= 30
    b = torch.ones(rows.shape[1])
    scale = stable_scale(rows, damping, batch)
    x = neumann(rows, damping, b, scale, batch, 3000, torch.Generator().manual_seed(3))
    assert float(x.norm()) < 2 * float((b / damping).norm())


@pytest.mark.parametrize("factor", [1.0, 0.5])
def test_the_quadratic_programme_ends_at_the_solution_or_at_twice_of_it(factor: float) -> None:
    """Half the product, as in the released code, doubles the fixed point."""
    rows, damping = rows_and_damping()
    matrix = rows.T @ rows + damping.diag()
    b = torch.randn(len(damping), generator=torch.Generator().manual_seed(2))
    start = torch.zeros(2, len(b))
    found = minimise(lambda x: factor * (x @ matrix), b, start, steps=1500, rates=(1e-2, 5e-3), decay=0.0)
    for x in found:
        assert relative(x, direct(matrix, b) / factor) < 1e-3


def test_the_released_settings_move_every_weight_by_no_more_than_their_steps(case: Case) -> None:
    moved = AsReleased()(case) - case.line.anchor
    assert 0 < float(moved.abs().max()) < 20 * 1e-5 * 1.2 + 1e-5


def test_dropout_is_on_inside_the_block_alone() -> None:
    model = nn.Sequential(nn.Dropout(0.5)).eval()
    with dropout_on(model, seed=0):
        inside = model(torch.ones(64))
    assert 0 < int((inside == 0).sum()) < 64
    assert bool((model(torch.ones(64)) == 1).all())


def test_dropout_leaves_the_global_generator_alone() -> None:
    state = torch.random.get_rng_state()
    with dropout_on(nn.Dropout(0.5).eval(), seed=0):
        torch.rand(3)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_damping_stands_beside_the_hessian(case: Case) -> None:
    """With damping that dwarfs the Hessian, x is b / damping, whatever length it is then given."""
    damping = 1e4
    b = right_hand_side(case.line.resident, case.changes)
    bound = float(b.abs().max()) / damping
    written = AsWritten(most_steps=25, rates=(bound / 10,), damping=damping)
    moved = written(case) - case.line.anchor
    assert float(moved @ b / (moved.norm() * b.norm())) > 0.98


def test_datainf_is_the_mean_of_each_layers_inverses(case: Case) -> None:
    line = case.line
    b = right_hand_side(line.resident, case.changes)
    found = datainf(case, b)
    gradients = []
    for example in line.data.examples:
        instance_losses(line.resident.model, collate([line.tokens[example.id]], line.resident.pad_id)).sum().backward()  # type: ignore[no-untyped-call]
        gradients.append(line.resident.parameters.gradient().double())
        line.resident.parameters.zero_grad()
    expected = torch.zeros_like(b, dtype=torch.float64)
    for columns in line.resident.parameters.slices.values():
        layer = torch.stack(gradients)[:, columns]
        level = 0.1 * layer.square().sum(1).mean() / layer.shape[1]
        eye = torch.eye(layer.shape[1], dtype=torch.float64)
        mean = sum((torch.linalg.inv(g[:, None] * g + level * eye) for g in layer), torch.zeros_like(eye)) / len(layer)
        expected[columns] = mean @ b[columns].double()
    assert relative(found.double(), expected) < 1e-3


def test_conjugate_gradients_solve_the_damped_gauss_newton_system(case: Case) -> None:
    b = right_hand_side(case.line.resident, case.changes)
    curvature = end_point_curvature(case)
    x = gauss_newton_cg(case, b)
    assert relative(curvature.apply(x.double()), b.double()) < 1e-4


DIRECTIONS: list[Callable[[Case, Tensor], Tensor]] = [gauss_newton_cg, datainf, LiSSA(depth=50)]


@pytest.mark.parametrize("direction", DIRECTIONS, ids=["cg", "datainf", "lissa"])
def test_a_step_raises_the_forgotten_loss_to_first_order(
    direction: Callable[[Case, Tensor], Tensor], case: Case
) -> None:
    """x is a positive definite matrix times b, and b is the forgotten loss's own gradient."""
    b = right_hand_side(case.line.resident, case.changes)
    case.line.resident.parameters.set(case.line.anchor)
    moved = EndPoint(direction)(case) - case.line.anchor
    assert float(moved @ b) > 0
