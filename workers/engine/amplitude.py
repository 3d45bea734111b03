"""How far to go along a direction, by forward passes."""

from collections.abc import Callable

# A step may be far too long, so its order of magnitude is found first.
HALVINGS = 20
BISECTIONS = 5


def largest_amplitude(measure: Callable[[float], float], limit: float, ceiling: float) -> float:
    """The largest α in [0, ceiling], to 1 part in 32, up to which `measure(α)` stays ≤ `limit`.

    `measure` grows with α wherever it matters. Where even a millionth of the ceiling is too much, α is 0.
    """
    if measure(ceiling) <= limit:
        return ceiling
    low, high = ceiling / 2, ceiling
    for _ in range(HALVINGS):
        if measure(low) <= limit:
            break
        low, high = low / 2, low
    else:
        return 0.0
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        if measure(middle) <= limit:
            low = middle
        else:
            high = middle
    return low
