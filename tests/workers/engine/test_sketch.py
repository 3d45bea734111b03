"""Sampled curvature against the Gauss-Newton matrix written out, on a model of five tokens."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tests.workers.engine.small_data import INSTANCES, WEIGHTS
from workers.engine import sketch as module
from workers.engine.curvature import Curvature
from workers.engine.damping import adam_damping, mean_eigenvalue_damping
from workers.engine.losses import label_logits
from workers.engine.record import Checkpoint, TrainingRecord
from workers.engine.resident import Resident
from workers.engine.right_hand_side import Change
from workers.engine.sketch import (
    DRAWS,
    ROW_BYTES,
    ROWS,
    SHARES_LEFT,
    SHORTFALL,
    Sketch,
    points,
    retained_scales,
    row_limit,
    sample_ids,
    sketch,
)
from workers.engine.tokens import Tokens, collate

pytestmark = pytest.mark.slow

NAMES = ("a", "b", "c")
TOKENS = dict(zip(NAMES, INSTANCES, strict=True))
SHARES = dict(zip(NAMES, WEIGHTS, strict=True))


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def record(size: int, checkpoints: int) -> TrainingRecord:
    return TrainingRecord(
        weights=SHARES,
        learning_rates=tuple(0.1 * (1 - step / 12) for step in range(12)),
        second_moments=random(size, seed=1).square(),
        epsilon=1e-8,
        weight_decay=0.1,
        steps=12,
        checkpoints=tuple(
            Checkpoint(index, 0.5 * random(size, seed=10 + index), random(size, seed=20 + index).square())
            for index in range(checkpoints)
        ),
        order_digest="",
    )


def gauss_newton(resident: Resident, tokens: Tokens, place: Tensor) -> Tensor:
    """Jᵀ (diag p − p pᵀ) J / T [p, p]: what the mean over T label tokens has for its Gauss-Newton matrix."""
    resident.parameters.set(place)
    logits, _ = label_logits(resident.model, collate([tokens], resident.pad_id))
    total = torch.zeros(len(place), len(place))
    for position in logits:
        rows = []
        for logit in position:
            gradients = torch.autograd.grad(logit, resident.parameters.tensors, retain_graph=True)
            rows.append(torch.cat([gradient.reshape(-1) for gradient in gradients]))
        jacobian, p = torch.stack(rows), position.detach().softmax(-1)
        total += jacobian.T @ (p.diag() - p[:, None] * p) @ jacobian
    return total / len(logits)


def average(resident: Resident, names: tuple[str, ...], places: tuple[Tensor, ...]) -> Tensor:
    """Σ wᵢ GGNᵢ, the mean over several points."""
    parts = [SHARES[name] * gauss_newton(resident, TOKENS[name], place) for place in places for name in names]
    return torch.stack(parts).sum(0) / len(places)


def matrix(curvature: Curvature) -> Tensor:
    """G + D [p, p], column by column through the operator."""
    return torch.stack([curvature.apply(column) for column in torch.eye(len(curvature.damping)).double()]).float()


def rows_only(curvature: Curvature) -> Tensor:
    return matrix(curvature) - curvature.damping.diag()


def error(found: Tensor, exact: Tensor) -> float:
    return float((found - exact).norm() / exact.norm())


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Room for so few rows that sampling them takes no time."""
    monkeypatch.setattr(module, "ROWS", 27)


@pytest.mark.parametrize("checkpoints", [None, 3])
def test_it_estimates_the_mean_gauss_newton_matrix_of_its_points(small: Resident, checkpoints: int | None) -> None:
    anchor = small.parameters.get()
    left = None if checkpoints is None else record(len(anchor), checkpoints)
    names = [f"{name}{copy}" for name in NAMES for copy in range(170)]
    tokens = {name: TOKENS[name[0]] for name in names}
    found = sketch(small, tokens, {name: SHARES[name[0]] / 170 for name in names}, left, anchor)
    assert ROWS - 3 * len(names) < len(found.owners) <= ROWS
    exact = average(small, NAMES, points(left, anchor))
    assert error(rows_only(found.curvature), exact * (SHORTFALL if left is None else 1.0)) < 0.1


def test_a_sketch_of_a_part_stands_for_all(small: Resident, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four copies of every instance, and room for half of them: the half counts double."""
    monkeypatch.setattr(module, "ROWS", 18)
    names = [f"{name}{copy}" for name in NAMES for copy in range(4)]
    tokens = {name: TOKENS[name[0]] for name in names}
    weights = {name: SHARES[name[0]] / 4 for name in names}
    anchor = small.parameters.get()
    found = sketch(small, tokens, weights, None, anchor)
    assert found.instances == 12
    assert len(set(found.owners)) == 6
    assert sorted(name[0] for name in set(found.owners)) == ["a", "a", "b", "b", "c", "c"]
    exact = SHORTFALL * float(average(small, NAMES, points(None, anchor)).trace())
    assert float(rows_only(found.curvature).trace()) == pytest.approx(exact, rel=0.5)  # 18 rows' noise


@pytest.mark.usefixtures("few")
def test_an_instance_is_drawn_a_few_times_at_most(small: Resident) -> None:
    found = sketch(small, TOKENS, SHARES, None, small.parameters.get())
    assert found.owners == NAMES * (len(SHARES_LEFT) * DRAWS)


@pytest.mark.usefixtures("few")
def test_the_anchors_weights_are_in_place_afterwards(small: Resident) -> None:
    anchor = small.parameters.get()
    found = sketch(small, TOKENS, SHARES, None, anchor)
    assert torch.equal(small.parameters.get(), anchor)
    small.parameters.set(torch.zeros_like(anchor))
    found.after(small, [Change("a", 0.5, TOKENS["a"], TOKENS["b"])], anchor, 0)
    assert torch.equal(small.parameters.get(), anchor)


@pytest.mark.usefixtures("few")
def test_two_sketches_are_the_same_to_the_last_bit(small: Resident) -> None:
    anchor = small.parameters.get()
    one, other = (sketch(small, TOKENS, SHARES, None, anchor).curvature for _ in range(2))
    assert torch.equal(one.blocks[0], other.blocks[0])
    assert torch.equal(one.gram, other.gram)


class TestPoints:
    def test_with_a_record_they_are_its_checkpoints_but_the_first_and_the_anchor(self) -> None:
        anchor, left = random(30, seed=0), record(30, 4)
        found = points(left, anchor)
        assert len(found) == 4
        assert all(torch.equal(f, c.parameters) for f, c in zip(found, left.checkpoints[1:], strict=False))
        assert torch.equal(found[-1], anchor)

    def test_an_only_checkpoint_is_kept(self) -> None:
        anchor, left = random(30, seed=0), record(30, 1)
        assert [
            torch.equal(*pair)
            for pair in zip(points(left, anchor), (left.checkpoints[0].parameters, anchor), strict=True)
        ] == [
            True,
            True,
        ]

    def test_a_record_without_checkpoints_leaves_the_anchor(self) -> None:
        anchor = random(30, seed=0)
        (found,) = points(record(30, 0), anchor)
        assert torch.equal(found, anchor)

    def test_without_a_record_they_are_shares_of_the_anchor(self) -> None:
        anchor = random(30, seed=0)
        found = points(None, anchor)
        assert [float(one @ anchor / (anchor @ anchor)) for one in found] == pytest.approx(SHARES_LEFT)
        assert torch.equal(found[-1], anchor)


@pytest.mark.usefixtures("few")
class TestDamping:
    def test_with_a_record_it_is_adams_metric_where_the_rows_begin(self, small: Resident) -> None:
        anchor = small.parameters.get()
        left = record(len(anchor), 3)
        expected = adam_damping(left.checkpoints[1].second_moments, 1e-8, sum(left.learning_rates), 0.1)
        assert torch.equal(sketch(small, TOKENS, SHARES, left, anchor).curvature.damping, expected)

    def test_without_checkpoints_it_is_adams_metric_at_the_end(self, small: Resident) -> None:
        anchor = small.parameters.get()
        left = record(len(anchor), 0)
        expected = adam_damping(left.second_moments, 1e-8, sum(left.learning_rates), 0.1)
        assert torch.equal(sketch(small, TOKENS, SHARES, left, anchor).curvature.damping, expected)

    def test_without_a_record_it_is_a_tenth_of_the_mean_eigenvalue(self, small: Resident) -> None:
        curvature = sketch(small, TOKENS, SHARES, None, small.parameters.get()).curvature
        eigenvalues = torch.linalg.eigvalsh(rows_only(curvature))
        torch.testing.assert_close(
            curvature.damping, torch.full_like(curvature.damping, 0.1 * float(eigenvalues.mean())), rtol=1e-3, atol=0
        )

    def test_that_is_the_trace_over_the_dimensions(self) -> None:
        rows = random(8, 30, seed=4)
        damping = mean_eigenvalue_damping(float(rows.square().sum()), 30, torch.device("cpu"))
        torch.testing.assert_close(
            damping, torch.full((30,), 0.1 * float(torch.linalg.eigvalsh(rows.T @ rows).mean()))
        )


@pytest.fixture
def every(small: Resident) -> Sketch:
    """Four rows of every one of the three instances."""
    size = small.parameters.size
    curvature = Curvature.of(0.1 * random(12, size, seed=3), random(size, seed=4).abs() + 0.1)
    return Sketch(curvature, NAMES * 4, 3)


def removal(*names: str) -> list[Change]:
    return [Change(name, SHARES[name], TOKENS[name], None) for name in names]


class TestAfter:
    def test_what_is_gone_leaves_with_exactly_its_rows(self, small: Resident, every: Sketch) -> None:
        found = every.after(small, removal("b"), small.parameters.get(), 0)
        rows = every.curvature.blocks[0]
        kept = rows[[index for index, name in enumerate(every.owners) if name != "b"]]
        torch.testing.assert_close(matrix(found), kept.T @ kept + every.curvature.damping.diag(), rtol=1e-4, atol=1e-5)

    def test_the_sketch_itself_stays_whole(self, small: Resident, every: Sketch) -> None:
        before = matrix(every.curvature)
        every.after(small, removal("a", "b"), small.parameters.get(), 0)
        assert torch.equal(matrix(every.curvature), before)

    def test_a_ledger_that_empties_it_leaves_the_damping(self, small: Resident, every: Sketch) -> None:
        found = every.after(small, removal(*NAMES), small.parameters.get(), 0)
        torch.testing.assert_close(matrix(found), every.curvature.damping.diag())

    def test_the_rows_of_new_contents_come_at_the_weight_of_the_old(self, small: Resident, every: Sketch) -> None:
        anchor, change = small.parameters.get(), Change("a", SHARES["a"], TOKENS["a"], TOKENS["b"])
        kept = rows_only(every.after(small, removal("a"), anchor, 0))
        drawn = []
        for seed in range(200):
            extended = every.after(small, [change], anchor, seed)
            assert len(extended.scales) == len(every.owners) + 1
            row = extended.blocks[1].float()
            drawn.append(row.T @ row)
        found = rows_only(every.after(small, [change], anchor, 0)) - kept
        torch.testing.assert_close(found, drawn[0], rtol=1e-3, atol=1e-4)
        exact = SHARES["a"] * gauss_newton(small, TOKENS["b"], anchor)
        assert error(torch.stack(drawn).mean(0), exact) < 0.25

    def test_of_many_new_contents_a_sample_stands_for_all(
        self, small: Resident, every: Sketch, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "MAX_NEW_ROWS", 2)
        changes = [Change(name, 0.25, TOKENS["a"], TOKENS["b"]) for name in ("a", "b", "c", "d")]
        found = replace(every, instances=4).after(small, changes, small.parameters.get(), 0)
        change = Change("a", 0.5, TOKENS["a"], TOKENS["b"])
        _, alone = every.after(small, [change], small.parameters.get(), 0).blocks
        assert found.blocks[1].shape[0] == 2
        torch.testing.assert_close(found.blocks[1][:1], alone)  # the same draw, at twice the weight of one

    def test_the_draws_are_the_seeds(self, small: Resident, every: Sketch) -> None:
        anchor, change = small.parameters.get(), [Change("a", 0.5, TOKENS["a"], INSTANCES[1])]
        one, other = (every.after(small, change, anchor, 7) for _ in range(2))
        assert torch.equal(one.blocks[1], other.blocks[1])


class TestRetainedScales:
    def test_a_full_sketch_loses_exactly_the_removed_rows(self) -> None:
        scales = retained_scales(["a", "b", "c", "d"] * 2, {"b"}, instances=4)
        assert scales.tolist() == [1.0, 0.0, 1.0, 1.0] * 2

    def test_a_partial_sketch_keeps_estimating_the_retained_curvature(self) -> None:
        """Removing a quarter of 100 instances: the trace expected over sketches is the retained trace."""
        energy = torch.rand(100, generator=torch.Generator().manual_seed(0)) + 0.5
        gone = {str(index) for index in range(25)}
        estimates = []
        for seed in range(400):
            chosen = torch.randperm(100, generator=torch.Generator().manual_seed(seed))[:20].tolist()
            scales = retained_scales([str(index) for index in chosen], gone, instances=100)
            estimates.append(float((energy[chosen] * (100 / 20) * scales.square()).sum()))
        exact = float(energy[25:].sum())
        assert abs(sum(estimates) / len(estimates) / exact - 1) < 0.02

    def test_several_rows_of_an_instance_are_one_instance_of_the_sample(self) -> None:
        """Two of four are sampled, three times each; one of those goes: of three, one is left."""
        scales = retained_scales(["a", "b"] * 3, {"b"}, instances=4)
        assert scales.square().tolist() == pytest.approx([3 / 1 / (4 / 2), 0.0] * 3)

    def test_a_ledger_that_empties_the_sketch_leaves_nothing(self) -> None:
        assert retained_scales(["a", "b"], {"a", "b"}, instances=10).tolist() == [0.0, 0.0]


def test_a_large_dataset_is_sketched_evenly() -> None:
    ids = [str(index) for index in range(1000)]
    chosen = [int(name) for name in sample_ids(ids, 100)]
    assert len(set(chosen)) == 100
    assert {index // 100 for index in chosen} == set(range(10))
    assert sample_ids(ids, 1000) == ids


def test_the_rows_shrink_with_the_adapter() -> None:
    assert row_limit(200_000) == ROWS
    assert row_limit(20_000_000) == ROW_BYTES // 40_000_000 == 107
    assert row_limit(10**12) == 1
