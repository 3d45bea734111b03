"""How far to go along a direction, by forward passes."""

from collections.abc import Callable

BISECTIONS = 7


def largest_amplitude(measure: Callable[[float], float], limit: float, ceiling: float) -> float:
    """The largest α in [0, ceiling], to 1 part in 128, up to which `measure(α)` stays ≤ `limit`.

    `measure` grows with α wherever it matters; it is called at most 8 times.
    """
    if measure(ceiling) <= limit:
        return ceiling
    low, high = 0.0, ceiling
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        if measure(middle) <= limit:
            low = middle
        else:
            high = middle
    return low
