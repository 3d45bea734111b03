"""The benchmark as one plot: every method a point, cost across, distance from retraining upwards."""

import math
import statistics
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from textwrap import wrap

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from workers.bench.labels import Label, attach
from workers.bench.results import RETRAIN, Report
from workers.bench.table import Row, questions, rows

# Okabe and Ito's blue and vermilion, which everybody can tell apart, and from grey.
OWN, IMPORTED, PEER, FRONT, INK = "#0072B2", "#D55E00", "#8A8F98", "#C9CDD3", "#3C4043"
NOISE = "#EEF4F0"
# Methods further off than this many floors would only squeeze the picture; they stand at its upper edge.
FURTHEST = 3.5
# A method that is further than this many floors off on retained data has damaged it, and is drawn hollow.
DAMAGE = 1.5
# Costs below this are drawn as nothing.
CHEAPEST = 1e-4
FIDELITIES = (0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 2.5, 3)
COLUMNS = 2
CAPTION = (
    "Points: means over forget sets and seeds; bars: least to greatest. Hollow: retained data are damaged "
    f"(over {DAMAGE:g} noise floors). ▲: further off than shown. Grey line: the best of the other methods."
)


def plot(report: Report, directory: Path) -> None:
    """Writes bench.png and bench.svg."""
    panels = questions(report)
    columns = min(COLUMNS, max(1, len(panels)))
    height = max(1, -(-len(panels) // columns))
    figure, axes = plt.subplots(
        height, columns, figsize=(8.6 * columns, 6.4 * height + 0.5), dpi=140, squeeze=False, facecolor="white"
    )
    shown = [
        (axis, _Panel(axis, title, rows(found)))
        for axis, (title, found) in zip(axes.flat, panels.items(), strict=False)
    ]
    for axis in list(axes.flat)[len(panels) :]:
        axis.set_visible(False)
    caption = wrap(CAPTION, 115 * columns)
    inch = 1 / figure.get_figheight()
    figure.text(0.5, 0.12 * inch, "\n".join(caption), ha="center", fontsize=8.5, color=INK)
    figure.tight_layout(pad=1.4, rect=(0, (0.15 + 0.15 * len(caption)) * inch, 1, 1))
    # Only now do the axes have the places by which labels can be kept apart.
    for axis, panel in shown:
        attach(axis, panel.labels, panel.drawn)
    for suffix in ("png", "svg"):
        figure.savefig(directory / f"bench.{suffix}")
    plt.close(figure)


class _Panel:
    """One question: draws everything but the labels, and keeps those. `drawn` are places that lines run through."""

    def __init__(self, axis: Axes, title: str, found: Sequence[Row]) -> None:
        self.axis = axis
        costs = [cost for row in found for cost in row.values("cost") if cost >= CHEAPEST]
        least = min(costs, default=CHEAPEST)
        # No cost has no place on a logarithmic axis: it stands a little to the left of the least one.
        self.zero = 10 ** (math.floor(math.log10(least) * 2) / 2 - 0.5)
        self.drawn: list[tuple[float, float]] = []
        self.places = {row.method: self._place(row) for row in found}
        self._frame(title)
        self._lines(found)
        for row in found:
            self._point(row)
        first = sorted(found, key=lambda row: (not row.ours, not row.pareto))
        self.labels = [Label(row.method, *self.places[row.method], _ink(row), row.ours) for row in first]

    def _frame(self, title: str) -> None:
        axis, dearest = self.axis, max([1.0, *(x for x, _ in self.places.values())])
        heights = [y for _, y in self.places.values()]
        low, high = min([0.9, *heights]) / 1.15, max([2.5, *heights]) * 1.12
        axis.set_xscale("log")
        axis.set_yscale("log")
        # Room on the right for the labels of the dearest methods.
        axis.set_xlim(self.zero / 1.6, dearest * 4)
        axis.set_ylim(low, high)
        decades = range(math.ceil(math.log10(self.zero * 1.5)), math.floor(math.log10(dearest * 4)) + 1)
        axis.set_xticks(
            [self.zero, *(10.0**power for power in decades)], ["0", *(_percent(power) for power in decades)]
        )
        levels = [level for level in FIDELITIES if low <= level <= high]
        axis.set_yticks(levels, [f"{level:g}" for level in levels])
        axis.minorticks_off()
        axis.set_title(title, loc="left", fontsize=11.5, fontweight="bold", color=INK, pad=10)
        axis.set_xlabel("cost: instance gradients, as a share of a full retrain", color=INK)
        axis.set_ylabel("distance from retraining (KL, in noise floors)", color=INK)
        axis.grid(visible=True, color="#ECEEF0", linewidth=0.7)
        axis.set_axisbelow(True)
        axis.tick_params(colors=INK, length=0)
        axis.spines[["top", "right"]].set_visible(False)
        axis.spines[["left", "bottom"]].set_color(FRONT)

    def _lines(self, found: Sequence[Row]) -> None:
        """The noise floor, the best that other methods reach at every cost, and our own curves."""
        axis = self.axis
        axis.axhspan(axis.get_ylim()[0], 1.0, color=NOISE, zorder=0)
        axis.axhline(1.0, color=INK, linewidth=1, linestyle=(0, (5, 3)), zorder=1)
        axis.annotate(
            "noise floor: two retrains differ this much",
            (0.008, 1.0),
            xycoords=("axes fraction", "data"),
            xytext=(0, -4),
            textcoords="offset points",
            va="top",
            fontsize=7.5,
            color=INK,
        )
        front = _lowest([self.places[row.method] for row in found if not row.ours])
        axis.step(*_columns(front), where="post", color=FRONT, linewidth=1.3, zorder=1.5)
        for colour in (OWN, IMPORTED):
            curve = [self.places[row.method] for row in found if row.ours and _ink(row) == colour]
            self.drawn += [place for ends in pairwise(curve) for place in _between(*ends)]
            axis.plot(*_columns(curve), color=colour, linewidth=1.8, alpha=0.6, zorder=2.5)

    def _point(self, row: Row) -> None:
        x, y = self.places[row.method]
        colour = _ink(row) if row.ours or row.method == RETRAIN else PEER
        if len(row.results) > 1:
            ys = [_height(value) for value in row.values("fidelity")]
            xs = [max(self.zero, value) for value in row.values("cost")]
            self.drawn += _between((x, min(ys)), (x, max(ys)), steps=6)
            self.axis.vlines(x, min(ys), max(ys), color=colour, alpha=0.4, linewidth=1.6, zorder=2)
            self.axis.hlines(y, min(xs), max(xs), color=colour, alpha=0.4, linewidth=1.6, zorder=2)
        whole = statistics.fmean(row.values("retained")) <= DAMAGE
        self.axis.plot(
            [x],
            [y],
            marker="^" if y >= FURTHEST else "D" if row.ours else "o",
            markersize=7 if row.ours else 6,
            markerfacecolor=colour if whole else "white",
            markeredgecolor=colour,
            zorder=4,
        )

    def _place(self, row: Row) -> tuple[float, float]:
        cost = statistics.fmean(row.values("cost"))
        return (cost if cost >= CHEAPEST else self.zero), _height(statistics.fmean(row.values("fidelity")))


def _height(fidelity: float) -> float:
    return min(FURTHEST, max(0.05, fidelity)) if math.isfinite(fidelity) else FURTHEST


def _ink(row: Row) -> str:
    if row.ours:
        return IMPORTED if "imported" in row.method else OWN
    return INK if row.method == RETRAIN else "#5F6670"


def _lowest(places: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Those that nothing cheaper lies below, cheapest first."""
    found: list[tuple[float, float]] = []
    for place in sorted(places):
        if not found or place[1] < found[-1][1]:
            found.append(place)
    return found


def _between(start: tuple[float, float], end: tuple[float, float], steps: int = 24) -> list[tuple[float, float]]:
    """Places on the line that a logarithmic plot shows as straight between two."""
    return [
        (start[0] * (end[0] / start[0]) ** share, start[1] * (end[1] / start[1]) ** share)
        for share in (step / steps for step in range(steps + 1))
    ]


def _columns(places: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in places], [y for _, y in places]


def _percent(power: int) -> str:
    return f"{100 * 10.0**power:g} %"
