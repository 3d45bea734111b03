"""The rule by which a measurement passes, as its table says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.measurements import Interval, Outcome, Wish
from workers.engine.metrics.outcome import FEWEST, outcome

PASSED, FAILED, OPEN = Outcome.passed, Outcome.failed, Outcome.inconclusive


@pytest.mark.parametrize(
    ("low", "high", "equal", "not_above", "not_below"),
    [
        (-0.5, 0.5, PASSED, PASSED, PASSED),
        (-1.0, 1.0, PASSED, PASSED, PASSED),
        (1.1, 2.0, FAILED, FAILED, PASSED),
        (-2.0, -1.1, FAILED, PASSED, FAILED),  # over-forgetting, where it is the other side
        (0.5, 1.5, OPEN, OPEN, PASSED),
        (-1.5, -0.5, OPEN, PASSED, OPEN),
        (-1.5, 1.5, OPEN, OPEN, OPEN),
    ],
)
def test_the_table(low: float, high: float, equal: Outcome, not_above: Outcome, not_below: Outcome) -> None:
    found = [outcome(wish, 9, Interval(low, high), 1.0) for wish in (Wish.equal, Wish.not_above, Wish.not_below)]
    assert found == [equal, not_above, not_below]


@pytest.mark.parametrize("wish", list(Wish))
def test_without_an_interval_or_a_margin_it_is_open(wish: Wish) -> None:
    assert outcome(wish, 9, None, 1.0) is OPEN
    assert outcome(wish, 9, Interval(0.0, 0.0), None) is OPEN


@given(st.sampled_from(list(Wish)), st.floats(-9, 9), st.floats(0, 9), st.floats(0, 9), st.integers(0, FEWEST - 1))
def test_fewer_than_three_never_pass(wish: Wish, low: float, width: float, margin: float, n: int) -> None:
    assert outcome(wish, n, Interval(low, low + width), margin) is not PASSED


def test_few_can_still_fail() -> None:
    assert outcome(Wish.equal, 1, Interval(2.0, 3.0), 1.0) is FAILED


@given(st.floats(-9, 9), st.floats(0, 9), st.floats(0, 9))
def test_equal_is_both_of_the_others(low: float, width: float, margin: float) -> None:
    interval = Interval(low, low + width)
    equal, *others = (outcome(wish, 9, interval, margin) for wish in (Wish.equal, Wish.not_above, Wish.not_below))
    assert (equal is PASSED) == all(one is PASSED for one in others)
    assert (equal is FAILED) == any(one is FAILED for one in others)
