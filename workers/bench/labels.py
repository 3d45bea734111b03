"""Labels beside the points of a plot, each where it covers least."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg

# Distances from the point in typographic points, and directions in eighths of a turn: right first, then around.
DISTANCES = (7, 14, 22, 32, 44, 58)
DIRECTIONS = (0, 1, 7, 4, 3, 5, 2, 6)
# From here on a line has to show which point a label belongs to.
NEAR = 10


@dataclass(frozen=True, slots=True)
class Label:
    """`text` for the point at `x`, `y` in the axis's data coordinates."""

    text: str
    x: float
    y: float
    colour: str
    bold: bool


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels."""

    left: float
    bottom: float
    right: float
    top: float

    def overlap(self, other: "Box") -> float:
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return width * height if width > 0 and height > 0 else 0.0

    @property
    def area(self) -> float:
        return (self.right - self.left) * (self.top - self.bottom)


def attach(axis: Axes, labels: Sequence[Label], avoid: Sequence[tuple[float, float]] = (), size: float = 8.0) -> None:
    """Writes the labels greedily, the first ones getting the best places. The axis must have its final place.

    `avoid` are further places, in data coordinates, that are better left free.
    """
    pixel = axis.get_figure(root=True).dpi / 72  # type: ignore[union-attr]
    extent = axis.get_window_extent()
    frame = Box(extent.x0, extent.y0, extent.x1, extent.y1)
    points = [axis.transData.transform((label.x, label.y)) for label in labels]
    taken = [_around(x, y, 4 * pixel) for x, y in points]
    taken += [_around(x, y, 2 * pixel) for x, y in (axis.transData.transform(avoid) if avoid else ())]
    for label, at in zip(labels, points, strict=True):
        width, height = _extent(axis, label, size)
        options = [
            (dx, dy, _beside(at[0] + dx * pixel, at[1] + dy * pixel, dx, dy, width, height)) for dx, dy in _offsets()
        ]
        dx, dy, box = min(options, key=lambda option: _cost(option, taken, frame))
        taken.append(box)
        _write(axis, label, dx, dy, size)


def _offsets() -> Iterator[tuple[float, float]]:
    for distance in DISTANCES:
        for direction in DIRECTIONS:
            angle = direction * math.pi / 4
            yield distance * math.cos(angle), distance * math.sin(angle)


def _cost(option: tuple[float, float, Box], taken: Sequence[Box], frame: Box) -> float:
    """What is covered, as a share of the label, and a little for being far away."""
    dx, dy, box = option
    covered = sum(box.overlap(other) for other in taken) + 2 * (box.area - box.overlap(frame))
    return covered / box.area + math.hypot(dx, dy) / 400


def _extent(axis: Axes, label: Label, size: float) -> tuple[float, float]:
    """Width and height of the label's text in pixels, with room for a space after it."""
    text = axis.text(0, 0, label.text, fontsize=size, fontweight=_weight(label))
    canvas = axis.get_figure(root=True).canvas  # type: ignore[union-attr]
    assert isinstance(canvas, FigureCanvasAgg)
    found = text.get_window_extent(canvas.get_renderer())  # type: ignore[no-untyped-call]
    text.remove()
    return found.width + 8, found.height


def _beside(x: float, y: float, dx: float, dy: float, width: float, height: float) -> Box:
    """The box of a text that begins, ends or is centred at x, whichever keeps it off its point."""
    left = x - {"left": 0.0, "right": width, "center": width / 2}[_side(dx)]
    bottom = y - height / 2
    return Box(left, bottom, left + width, bottom + height)


def _side(dx: float) -> str:
    if abs(dx) < 1:
        return "center"
    return "left" if dx > 0 else "right"


def _around(x: float, y: float, radius: float) -> Box:
    return Box(x - radius, y - radius, x + radius, y + radius)


def _weight(label: Label) -> str:
    return "bold" if label.bold else "normal"


def _write(axis: Axes, label: Label, dx: float, dy: float, size: float) -> None:
    far = math.hypot(dx, dy) > NEAR
    line = {"arrowstyle": "-", "color": label.colour, "linewidth": 0.5, "alpha": 0.55, "shrinkA": 0, "shrinkB": 3}
    axis.annotate(
        label.text,
        (label.x, label.y),
        xytext=(dx, dy),
        textcoords="offset points",
        ha=_side(dx),
        va="center",
        fontsize=size,
        fontweight=_weight(label),
        color=label.colour,
        arrowprops=line if far else None,
        zorder=5,
        bbox={"boxstyle": "square,pad=0.08", "facecolor": "white", "edgecolor": "none", "alpha": 0.7},
    )
