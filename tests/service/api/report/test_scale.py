"""Axes are linear and labelled with round numbers inside their range."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api.report.scale import Scale, ticks

numbers = st.floats(-1e6, 1e6)


def test_the_ends_map_to_the_ends() -> None:
    scale = Scale(-1, 3, 100, 500)
    assert [scale(value) for value in (-1, 0, 3)] == [100, 200, 500]
    assert [scale.clip(value) for value in (-9, 1, 9)] == [-1, 1, 3]


def test_it_may_run_upwards() -> None:
    assert Scale(0, 2, 50, 10)(1) == 30


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (0, 6, ("0", "1", "2", "3", "4", "5", "6")),
        (-0.3, 0.25, ("−0.3", "−0.2", "−0.1", "0.0", "0.1", "0.2")),
        (0.012, 0.031, ("0.015", "0.020", "0.025", "0.030")),
        (0, 12345, ("0", "5000", "10000")),
    ],
)
def test_round_numbers(low: float, high: float, labels: tuple[str, ...]) -> None:
    assert ticks(low, high).labels == labels


@given(numbers, st.floats(1e-6, 1e6))
def test_ticks_lie_within_and_are_few(low: float, width: float) -> None:
    made = ticks(low, low + width)
    assert 2 <= len(made.values) <= 8
    slack = 1e-6 * width + 1e-9 * abs(low)
    assert all(low - slack <= value <= low + width + slack for value in made.values)
