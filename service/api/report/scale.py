"""Axes: where values lie on the page, and round numbers to label them with."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear map from [low, high] to [start, end] in pixels."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def clip(self, value: float) -> float:
        return min(max(value, self.low), self.high)


@dataclass(frozen=True, slots=True)
class Ticks:
    """Round values and how they are written."""

    values: tuple[float, ...]
    labels: tuple[str, ...]


def ticks(low: float, high: float, *, about: int = 6) -> Ticks:
    """Multiples of 1, 2 or 5 times a power of ten within [low, high], `about` so many."""
    step = _round_step((high - low) / about)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    values = tuple(number * step for number in range(first, last + 1))
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    return Ticks(values, tuple(signed(f"{value + 0.0:.{digits}f}") for value in values))


def signed(text: str) -> str:
    """With a true minus sign, and none before zero."""
    if text.startswith("-"):
        return "−" + text[1:] if any(digit in text for digit in "123456789") else text[1:]
    return text


def _round_step(rough: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is at least `rough`."""
    power: float = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
