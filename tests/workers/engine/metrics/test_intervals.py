"""Intervals: how often they cover, how wide they are, and what they refuse to say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.engine.metrics.intervals import MANY, of_mean, paired, proportion, unpaired


def covers(interval: object, value: float) -> bool:
    return interval.low <= value <= interval.high  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize("n", [3, 5, 10, 40])
def test_the_mean_of_normal_values_is_covered_about_as_often_as_promised(n: int) -> None:
    generator = np.random.default_rng(n)
    hits = [covers(of_mean(generator.normal(1.0, 2.0, n)), 1.0) for _ in range(400)]
    assert 0.90 <= np.mean(hits) <= 0.995


@pytest.mark.parametrize(("n", "m"), [(1, 60), (2, 60), (5, 60), (12, 40), (40, 40)])
def test_the_difference_of_like_groups_is_covered_about_as_often_as_promised(n: int, m: int) -> None:
    generator = np.random.default_rng(100 * n + m)
    hits = [covers(unpaired(generator.normal(0, 1, n), generator.normal(0, 1, m)), 0.0) for _ in range(400)]
    assert 0.90 <= np.mean(hits) <= 0.995


def test_one_instance_is_as_uncertain_as_the_reference_spreads() -> None:
    found = unpaired([0.0], np.random.default_rng(0).normal(0, 1, 500).tolist())
    assert found is not None
    assert found.high - found.low == pytest.approx(2 * 1.96, rel=0.1)


def test_pairs_cancel_what_they_share() -> None:
    before = [1.0, 5.0, 9.0, 2.0]
    found = paired(before, [value + 0.5 for value in before])
    assert found is not None
    assert (found.low, found.high) == pytest.approx((0.5, 0.5))


def test_too_few_have_no_interval() -> None:
    assert paired([1.0, 2.0], [1.0, 2.0]) is None
    assert unpaired([1.0] * 9, [1.0, 2.0]) is None
    assert unpaired([], [1.0, 2.0, 3.0]) is None


def test_the_same_values_give_the_same_interval() -> None:
    assert of_mean([1.0, 2.0, 4.0]) == of_mean([1.0, 2.0, 4.0])


def test_many_values_take_their_normal_limit() -> None:
    found = of_mean(np.random.default_rng(0).normal(0, 1, MANY + 1))
    assert found is not None
    assert found.high - found.low == pytest.approx(2 * 1.96 / (MANY + 1) ** 0.5, rel=0.15)


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        (0, 10, 0.0, 0.3085),
        (10, 10, 0.6915, 1.0),
        (5, 10, 0.1871, 0.8129),
        (1, 1, 0.025, 1.0),
        (7, 1000, 0.0028, 0.0144),
    ],
)
def test_a_proportion_is_covered_exactly(successes: int, n: int, low: float, high: float) -> None:
    found = proportion(successes, n)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-4)


@given(st.integers(1, 300), st.data())
def test_a_proportion_lies_in_its_interval_and_that_in_the_unit(n: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, n))
    found = proportion(successes, n)
    assert 0.0 <= found.low <= successes / n <= found.high <= 1.0


@given(st.lists(st.floats(-100, 100), min_size=3, max_size=30), st.floats(-10, 10))
def test_shifting_every_value_shifts_the_interval(values: list[float], by: float) -> None:
    here, there = of_mean(values), of_mean([value + by for value in values])
    assert here is not None
    assert there is not None
    assert (there.low, there.high) == pytest.approx((here.low + by, here.high + by), abs=1e-6)
    assert here.low - 1e-9 <= np.mean(values) <= here.high + 1e-9
