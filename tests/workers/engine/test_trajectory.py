"""The linearised replay against dense algebra, and what a sketch of a part of the data estimates."""

import torch
from torch import Tensor

from workers.engine.curvature import Curvature
from workers.engine.damping import adam_damping, mean_eigenvalue_damping
from workers.engine.record import Checkpoint, TrainingRecord
from workers.engine.solve import woodbury
from workers.engine.trajectory import Segment, Trajectory, points, replay, retained_scales

P, ROWS = 30, 8


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def segment(seed: int, retention: float) -> Segment:
    damping = random(P, seed=seed).abs() + 0.1
    return Segment(random(P, seed=seed + 1), Curvature.of(random(ROWS, P, seed=seed + 2), damping), retention)


def record(checkpoints: int, weight_decay: float = 0.0) -> TrainingRecord:
    return TrainingRecord(
        weights={"a": 1.0},
        learning_rates=tuple(0.1 * (1 - step / 12) for step in range(12)),
        second_moments=random(P, seed=1).square(),
        epsilon=1e-8,
        weight_decay=weight_decay,
        steps=12,
        checkpoints=tuple(
            Checkpoint(index, random(P, seed=10 + index), random(P, seed=20 + index).square())
            for index in range(checkpoints)
        ),
        order_digest="",
    )


def dense(curvature: Curvature, multiplier: float) -> Tensor:
    rows = curvature.blocks[0].double() * curvature.scales[:, None]
    return rows.T @ rows + multiplier * curvature.damping.double().diag()


def test_one_segment_is_the_damped_newton_step() -> None:
    only, b = segment(0, 1.0), random(P, seed=50)
    step = replay(Trajectory((only,), ("a",), 1), [only.curvature], [b], multiplier=2.0, solver=woodbury)
    exact = torch.linalg.solve(dense(only.curvature, 2.0), b.double())
    torch.testing.assert_close(step.delta.double(), exact, rtol=1e-4, atol=1e-5)


def test_it_is_the_implicit_recursion_of_preconditioned_steps() -> None:
    """δ ← (I + ηPG)⁻¹(δ + ηPb), written with explicit inverses."""
    segments = (segment(0, 1.0), segment(5, 1.0), segment(9, 1.0))
    gradients = [random(P, seed=60 + index) for index in range(3)]
    step = replay(
        Trajectory(segments, ("a",), 1),
        [one.curvature for one in segments],
        gradients,
        multiplier=1.5,
        solver=woodbury,
    )
    delta = torch.zeros(P, dtype=torch.float64)
    for one, b in zip(segments, gradients, strict=True):
        preconditioner = (1 / (1.5 * one.curvature.damping.double())).diag()
        rows = one.curvature.blocks[0].double()
        implicit = torch.eye(P, dtype=torch.float64) + preconditioner @ rows.T @ rows
        delta = torch.linalg.solve(implicit, delta + preconditioner @ b.double())
    torch.testing.assert_close(step.delta.double(), delta, rtol=1e-3, atol=1e-4)


def test_weight_decay_shrinks_what_is_carried_over() -> None:
    decayed = points(record(4, weight_decay=0.5), torch.zeros(P))
    plain = points(record(4), torch.zeros(P))
    for with_decay, without in zip(decayed, plain, strict=True):
        assert with_decay.damping is not None
        assert without.damping is not None
        # D shrinks back to (√v̂ + ε)/Ση once multiplied by the retention.
        torch.testing.assert_close(with_decay.damping * with_decay.retention, without.damping)
        assert without.retention == 1.0


def test_the_first_of_several_segments_is_left_out() -> None:
    found = points(record(4), torch.zeros(P))
    expected = record(4).checkpoints[1:]
    assert [point.parameters.tolist() for point in found] == [one.parameters.tolist() for one in expected]
    rates = record(4).learning_rates
    assert found[0].damping is not None
    torch.testing.assert_close(
        found[0].damping, adam_damping(expected[0].second_moments, 1e-8, sum(rates[3:6]), weight_decay=0.0)
    )


def test_without_checkpoints_the_anchor_is_the_only_point() -> None:
    anchor = random(P, seed=3)
    (from_record,) = points(record(0), anchor)
    (from_nothing,) = points(None, anchor)
    assert torch.equal(from_record.parameters, anchor)
    assert from_record.damping is not None
    assert from_nothing.damping is None


def test_without_a_record_damping_is_a_tenth_of_the_mean_eigenvalue() -> None:
    rows = random(ROWS, P, seed=4)
    eigenvalues = torch.linalg.eigvalsh(rows.T @ rows)
    damping = mean_eigenvalue_damping(float(rows.square().sum()), P, torch.device("cpu"))
    torch.testing.assert_close(damping, torch.full((P,), 0.1 * float(eigenvalues.mean())))


def test_a_full_sketch_loses_exactly_the_removed_rows() -> None:
    scales = retained_scales(["a", "b", "c", "d"], {"b"}, instances=4)
    assert scales.tolist() == [1.0, 0.0, 1.0, 1.0]


def test_a_partial_sketch_keeps_estimating_the_retained_curvature() -> None:
    """Removing a quarter of 100 instances: the trace expected over sketches is the retained trace."""
    energy = torch.rand(100, generator=torch.Generator().manual_seed(0)) + 0.5
    gone = {str(index) for index in range(25)}
    estimates = []
    for seed in range(400):
        chosen = torch.randperm(100, generator=torch.Generator().manual_seed(seed))[:20].tolist()
        scales = retained_scales([str(index) for index in chosen], gone, instances=100)
        sketch = energy[chosen] * (100 / 20)
        estimates.append(float((sketch * scales.square()).sum()))
    exact = float(energy[25:].sum())
    assert abs(sum(estimates) / len(estimates) / exact - 1) < 0.02


def test_a_ledger_that_empties_the_sketch_leaves_the_damping() -> None:
    assert retained_scales(["a", "b"], {"a", "b"}, instances=10).tolist() == [0.0, 0.0]
