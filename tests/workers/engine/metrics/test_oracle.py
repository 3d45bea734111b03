"""What takes an oracle: distances of distributions, with the p that so few instances can give."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.engine.metrics.membership import from_chance, membership_auc
from workers.engine.metrics.oracle import forget_quality, ks_distance, ks_p, priv_leak, smallest_p

scores = st.lists(st.floats(-5, 5), min_size=1, max_size=12)


@pytest.mark.parametrize(("n", "p"), [(1, 1.0), (3, 0.10), (4, 0.0286), (5, 0.0079), (10, 1.08e-5)])
def test_the_smallest_p_is_what_so_few_instances_allow(n: int, p: float) -> None:
    assert smallest_p(n, n) == pytest.approx(p, rel=0.01)
    assert ks_p(1.0, n, n) == pytest.approx(smallest_p(n, n), rel=1e-6)


@pytest.mark.parametrize(("n", "needed"), [(10, 0.7), (20, 0.45), (40, 0.325)])
def test_the_distance_that_is_needed_for_a_p_below_a_twentieth(n: int, needed: float) -> None:
    assert ks_p(needed, n, n) < 0.05 <= ks_p(needed - 1 / n, n, n)


def test_the_distance_is_the_widest_gap_of_the_distributions() -> None:
    assert ks_distance([1.0, 2.0, 3.0, 4.0], [3.0, 4.0, 5.0, 6.0]) == 0.5
    assert ks_distance([1.0, 2.0], [3.0]) == 1.0
    assert ks_distance([1.0, 2.0], [2.0, 1.0]) == 0.0


def test_p_is_that_of_all_permutations() -> None:
    """8 of the 20 orders of three and three values keep the distributions 1/3 apart at most."""
    assert ks_p(2 / 3, 3, 3) == pytest.approx(12 / 20)


def test_a_large_p_on_few_instances_is_said_to_mean_nothing() -> None:
    worst = forget_quality([0.1, 0.2, 0.3], [5.0, 6.0, 7.0])
    assert worst.distance == 1.0
    assert worst.smallest_p > 0.05
    assert worst.p == pytest.approx(0.1)
    assert forget_quality([0.0] * 5, [1.0] * 5).smallest_p < 0.05


@given(scores, scores)
@settings(max_examples=50)
def test_p_lies_between_the_smallest_and_one(one: list[float], other: list[float]) -> None:
    found = forget_quality(one, other)
    assert 0.0 <= found.distance <= 1.0
    assert found.smallest_p - 1e-9 <= found.p <= 1.0


def test_priv_leak_is_below_zero_where_too_little_was_forgotten() -> None:
    unseen = torch.tensor([1.0, 2.0, 3.0, 4.0])
    oracle = (torch.tensor([1.5, 3.5]), unseen)
    assert priv_leak(torch.tensor([1.5, 3.5]), unseen, *oracle) == 0.0
    assert priv_leak(torch.tensor([0.1, 0.2]), unseen, *oracle) == -100.0
    assert priv_leak(torch.tensor([9.0, 9.0]), unseen, *oracle) == pytest.approx(100.0)


@given(scores, scores)
def test_the_auc_of_either_group_against_the_other_adds_up_to_one(one: list[float], other: list[float]) -> None:
    ours, theirs = torch.tensor(one), torch.tensor(other)
    auc = membership_auc(ours, theirs)
    assert 0.0 <= auc <= 1.0
    assert auc + membership_auc(theirs, ours) == pytest.approx(1.0)


def test_members_are_those_that_score_low() -> None:
    assert membership_auc(torch.tensor([0.1, 0.2]), torch.tensor([1.0, 2.0])) == 1.0
    assert membership_auc(torch.tensor([1.0]), torch.tensor([1.0])) == 0.5


@pytest.mark.parametrize(("n", "m", "half"), [(1, 100, 0.57), (5, 100, 0.26), (20, 200, 0.13), (400, 400, 0.04)])
def test_an_auc_is_as_uncertain_as_its_instances_are_few(n: int, m: int, half: float) -> None:
    assert from_chance(0.5, n, m).high == pytest.approx(min(0.5, half), abs=0.005)


def test_ks_agrees_with_simulation() -> None:
    generator = np.random.default_rng(0)
    far = [
        ks_distance(generator.normal(size=6).tolist(), generator.normal(size=9).tolist()) >= 0.5 for _ in range(800)
    ]
    assert np.mean(far) == pytest.approx(ks_p(0.5, 6, 9), abs=0.05)
