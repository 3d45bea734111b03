"""The steps towards targets: their objective by differentiation, directions and ends by dense algebra."""

import pytest
import torch
from torch import Tensor

from tests.workers.engine.small_data import INSTANCES, VOCABULARY
from workers.engine.approach import (
    EACH_RETAINED,
    Aim,
    Forgotten,
    Moved,
    Taught,
    _direction,
    _Objective,
    _Point,
    _Turn,
    approach,
)
from workers.engine.curvature import Curvature
from workers.engine.resident import Resident
from workers.engine.solve import Factorised
from workers.engine.tokens import NO_LOSS, Tokens
from workers.engine.top_predictions import TopPredictions

LEVEL = 0.5
# So many retained instances an aim, and what λ then is.
RETAINED = 10
WEIGHT = RETAINED * EACH_RETAINED


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def aims() -> list[Aim]:
    """Two to forget, one at a lower weight; one to know, and one that is known well enough."""
    targets = [
        TopPredictions.of(random(tokens.label_count, VOCABULARY, seed=seed).log_softmax(-1))
        for seed, tokens in enumerate(INSTANCES[:2])
    ]
    return [
        Forgotten(INSTANCES[0], targets[0]),
        Taught(INSTANCES[2], LEVEL),
        Forgotten(INSTANCES[1], targets[1], 0.3),
        Taught(INSTANCES[1], 100.0),
    ]


@pytest.fixture
def anchor(small: Resident) -> Tensor:
    return small.parameters.get()


@pytest.fixture
def curvature(anchor: Tensor) -> Curvature:
    size = len(anchor)
    return Curvature.of(0.05 * random(10, size, seed=3), 0.02 * (random(size, seed=4).abs() + 0.5))


def matrix(curvature: Curvature) -> Tensor:
    rows = curvature.blocks[0].double()
    return rows.T @ rows + curvature.damping.double().diag()


def logprobs(resident: Resident, tokens: Tokens) -> Tensor:
    """At the label positions, one instance without padding, in the model's own precision."""
    positions = [position - 1 for position, label in enumerate(tokens.labels) if label != NO_LOSS]
    logits: Tensor = resident.model(input_ids=torch.tensor([tokens.ids])).logits
    return logits[0, positions].log_softmax(-1)


def divergence(resident: Resident, aim: Forgotten) -> Tensor:
    """The mean of KL(target ‖ ·); of five tokens four are told apart, and the fifth is all others."""
    spread, present = aim.target.spread(VOCABULARY).double(), logprobs(resident, aim.tokens)
    return (spread.exp() * (spread - present)).sum(-1).mean()


def excess(resident: Resident, aim: Taught) -> Tensor:
    labels = torch.tensor([label for label in aim.tokens.labels if label != NO_LOSS])
    return (-logprobs(resident, aim.tokens).gather(-1, labels[:, None]).mean() - aim.level).clamp(min=0)


def exact(
    resident: Resident, aims: list[Aim], anchor: Tensor, curvature: Curvature, delta: Tensor
) -> tuple[float, Tensor]:
    """Value and gradient of the whole objective by its formula, by automatic differentiation in fp64."""
    torch.nn.Module.to(resident.model, torch.float64)
    resident.parameters.set(anchor.double() + delta)
    parts = [
        aim.weight * divergence(resident, aim) if isinstance(aim, Forgotten) else excess(resident, aim) for aim in aims
    ]
    value = torch.stack(parts).mean()
    gradients = torch.autograd.grad(value, resident.parameters.tensors)
    torch.nn.Module.to(resident.model, torch.float32)
    image = matrix(curvature) @ delta
    return (
        float(value.detach() + WEIGHT / 2 * delta @ image),
        torch.cat([gradient.reshape(-1) for gradient in gradients]) + WEIGHT * image,
    )


def error(found: Tensor, exact: Tensor) -> float:
    return float((found.double() - exact.double()).norm() / exact.double().norm())


def moved(curvature: Curvature, delta: Tensor) -> Moved:
    return Moved(delta, (matrix(curvature) @ delta.double()).float())


class TestObjective:
    def test_value_and_gradient_are_those_of_the_formula(
        self, small: Resident, aims: list[Aim], anchor: Tensor, curvature: Curvature
    ) -> None:
        delta = 0.1 * random(len(anchor), seed=5)
        found = _Objective(small, aims, anchor, Factorised(curvature), WEIGHT).at(moved(curvature, delta))
        value, gradient = exact(small, aims, anchor, curvature, delta.double())
        assert found.value == pytest.approx(value, rel=1e-5)
        assert error(found.gradient, gradient) < 1e-5
        assert error(found.preconditioned, torch.linalg.solve(matrix(curvature), gradient)) < 1e-4

    def test_at_the_anchor_only_the_aims_count(
        self, small: Resident, aims: list[Aim], anchor: Tensor, curvature: Curvature
    ) -> None:
        zero = torch.zeros_like(anchor)
        found = _Objective(small, aims, anchor, Factorised(curvature), WEIGHT).at(Moved(zero, zero))
        assert found.value == found.aims
        assert found.moved.change == 0

    @pytest.mark.parametrize("size", [1, 2])
    def test_micro_batches_and_order_do_not_change_it(
        self, small: Resident, aims: list[Aim], anchor: Tensor, curvature: Curvature, size: int
    ) -> None:
        point = moved(curvature, 0.1 * random(len(anchor), seed=5))
        whole = _Objective(small, aims, anchor, Factorised(curvature), WEIGHT).at(point)
        small.micro_batch.size = size
        parts = _Objective(small, aims[::-1], anchor, Factorised(curvature), WEIGHT).at(point)
        assert parts.value == pytest.approx(whole.value, rel=1e-6)
        assert error(parts.gradient, whole.gradient) < 1e-5

    def test_a_device_that_runs_out_of_memory_gives_the_same_gradient(
        self, small: Resident, aims: list[Aim], anchor: Tensor, curvature: Curvature
    ) -> None:
        """A batch of two is too large; what the first attempt had accumulated must be gone."""
        point = moved(curvature, 0.1 * random(len(anchor), seed=5))
        small.micro_batch.size = 2
        objective = _Objective(small, [*aims, aims[0]], anchor, Factorised(curvature), WEIGHT)
        whole = objective.at(point)
        passes: list[int] = []

        def refuse(module: torch.nn.Module, args: tuple[object, ...], kwargs: dict[str, Tensor]) -> None:
            passes.append(len(kwargs["input_ids"]))
            if passes.count(2) == 2 and passes[-1] == 2:  # the first batch had passed, backwards too
                raise torch.OutOfMemoryError

        handle = small.model.register_forward_pre_hook(refuse, with_kwargs=True)
        halved = objective.at(point)
        handle.remove()
        assert passes[-5:] == [1] * 5
        assert small.micro_batch.size == 1
        assert halved.value == pytest.approx(whole.value, rel=1e-6)
        assert error(halved.gradient, whole.gradient) < 1e-5

    def test_no_gradient_is_left_behind(
        self, small: Resident, aims: list[Aim], anchor: Tensor, curvature: Curvature
    ) -> None:
        zero = torch.zeros_like(anchor)
        _Objective(small, aims, anchor, Factorised(curvature), WEIGHT).at(Moved(zero, zero))
        assert not small.parameters.gradient().any()


class Quadratic:
    """½ xᵀ A x − bᵀ x in six dimensions, walked with exact line searches in the metric C."""

    size = 6

    def __init__(self) -> None:
        rows = random(self.size, self.size, seed=0).double()
        self.hessian = rows @ rows.T + 0.3 * torch.eye(self.size).double()
        self.b = random(self.size, seed=1).double()
        self.curvature = Curvature.of(
            random(3, self.size, seed=2).double(), random(self.size, seed=3).double().abs() + 0.2
        )
        self.metric = matrix(self.curvature)

    def at(self, moved: Moved) -> _Point:
        gradient = self.hessian @ moved.delta - self.b
        value = float(moved.delta @ (self.hessian @ moved.delta) / 2 - self.b @ moved.delta)
        return _Point(moved, value, value, gradient, torch.linalg.solve(self.metric, gradient))

    def walk(self, steps: int) -> tuple[_Point, list[_Turn]]:
        start = torch.zeros(self.size).double()
        present, history = self.at(Moved(start, start)), list[_Turn]()
        for _ in range(steps):
            direction = _direction(present, history)
            along = direction.delta
            length = float(present.gradient @ along / (along @ (self.hessian @ along)))
            reached = self.at(present.moved.plus(direction, -length))
            history.append(_Turn.between(present, reached))
            present = reached
        return present, history


class TestDirection:
    def test_the_first_is_the_influence_step(self) -> None:
        quadratic = Quadratic()
        present, _ = quadratic.walk(0)
        found = _direction(present, [])
        torch.testing.assert_close(found.delta, torch.linalg.solve(quadratic.metric, present.gradient))

    def test_its_image_under_the_curvature_is_known_without_a_product(self) -> None:
        quadratic = Quadratic()
        for steps in range(5):
            found = _direction(*quadratic.walk(steps))
            torch.testing.assert_close(found.image, quadratic.metric @ found.delta)

    def test_it_has_learnt_what_the_latest_step_met(self) -> None:
        """The secant equation, H y = s: a gradient equal to the last change is undone by the last step."""
        quadratic = Quadratic()
        present, history = quadratic.walk(3)
        last = history[-1]
        met = _Point(present.moved, 0.0, 0.0, last.turned, last.preconditioned)
        torch.testing.assert_close(_direction(met, history).delta, last.moved.delta)

    def test_it_leads_downhill(self) -> None:
        for steps in range(5):
            present, history = Quadratic().walk(steps)
            assert float(present.gradient @ _direction(present, history).delta) > 0

    def test_on_a_quadratic_it_ends_at_the_minimiser_after_a_step_a_dimension(self) -> None:
        quadratic = Quadratic()
        reached, _ = quadratic.walk(quadratic.size)
        torch.testing.assert_close(reached.moved.delta, torch.linalg.solve(quadratic.hessian, quadratic.b))


class TestApproach:
    def test_the_first_step_is_along_the_solve(
        self, small: Resident, aims: list[Aim], anchor: Tensor, curvature: Curvature
    ) -> None:
        found = approach(small, aims, curvature, anchor, retained=RETAINED * len(aims), steps=1)
        _, gradient = exact(small, aims, anchor, curvature, torch.zeros_like(anchor).double())
        step, influence = (found.parameters - anchor).double(), -torch.linalg.solve(matrix(curvature), gradient)
        assert found.steps == 1
        assert float(step @ influence / (step.norm() * influence.norm())) == pytest.approx(1.0, abs=1e-6)
        assert found.residual < 1e-5

    def test_steps_end_at_the_minimiser_of_the_whole_objective(
        self, small: Resident, aims: list[Aim], anchor: Tensor, curvature: Curvature
    ) -> None:
        """Held by enough damping the objective is nearly quadratic; Newton's method in fp64 knows where it ends."""
        held = Curvature.of(curvature.blocks[0], 10 * curvature.damping)
        found = approach(small, aims, held, anchor, retained=RETAINED * len(aims), steps=25)
        delta, reference = torch.zeros_like(anchor).double().requires_grad_(), list[float]()
        optimiser = torch.optim.LBFGS([delta], max_iter=200, tolerance_grad=1e-9, line_search_fn="strong_wolfe")

        def closure() -> float:
            value, gradient = exact(small, aims, anchor, held, delta.detach())
            delta.grad = gradient
            reference.append(value)
            return value

        optimiser.step(closure)
        assert error(found.parameters - anchor, delta.detach()) < 1e-2
        reached, _ = exact(small, aims, anchor, held, (found.parameters - anchor).double())
        assert reached == pytest.approx(reference[-1], rel=1e-4)
        assert reached < 0.9 * reference[0]

    def test_more_steps_come_closer(
        self, small: Resident, aims: list[Aim], anchor: Tensor, curvature: Curvature
    ) -> None:
        values = []
        for steps in (0, 1, 3, 8):
            found = approach(small, aims, curvature, anchor, retained=RETAINED * len(aims), steps=steps)
            assert found.steps <= steps
            values.append(found.after + WEIGHT * found.predicted_change)
        assert values == sorted(values, reverse=True)
        assert len(set(values)) == 4

    def test_what_is_predicted_to_change_is_the_curvature_of_the_move(
        self, small: Resident, aims: list[Aim], anchor: Tensor, curvature: Curvature
    ) -> None:
        found = approach(small, aims, curvature, anchor, retained=RETAINED * len(aims), steps=4)
        delta = (found.parameters - anchor).double()
        assert found.predicted_change == pytest.approx(float(delta @ (matrix(curvature) @ delta)) / 2, rel=1e-3)

    def test_no_steps_leave_the_anchor(
        self, small: Resident, aims: list[Aim], anchor: Tensor, curvature: Curvature
    ) -> None:
        found = approach(small, aims, curvature, anchor, retained=RETAINED * len(aims), steps=0)
        assert torch.equal(found.parameters, anchor)
        assert found.steps == 0
        assert found.before == found.after

    def test_where_nothing_is_left_to_gain_no_step_is_taken(
        self, small: Resident, anchor: Tensor, curvature: Curvature
    ) -> None:
        known = [Taught(tokens, 100.0) for tokens in INSTANCES]
        found = approach(small, known, curvature, anchor, retained=RETAINED * len(known), steps=5)
        assert found.steps == 0
        assert torch.equal(found.parameters, anchor)
        assert (found.before, found.residual) == (0.0, 0.0)

    def test_steps_stop_where_they_bring_nothing_more(
        self, small: Resident, aims: list[Aim], anchor: Tensor, curvature: Curvature
    ) -> None:
        held = Curvature.of(curvature.blocks[0], 10 * curvature.damping)
        found = approach(small, aims, held, anchor, retained=RETAINED * len(aims), steps=500)
        assert found.steps < 100

    def test_it_is_the_same_to_the_last_bit_every_time(
        self, small: Resident, aims: list[Aim], anchor: Tensor, curvature: Curvature
    ) -> None:
        one, other = (
            approach(small, aims, curvature, anchor, retained=RETAINED * len(aims), steps=5) for _ in range(2)
        )
        assert torch.equal(one.parameters, other.parameters)
