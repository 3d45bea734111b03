"""The benchmark as one plot: every method a point, cost across, distance from retraining upwards."""

import statistics
from collections.abc import Sequence
from pathlib import Path

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from workers.bench.results import Report
from workers.bench.table import OURS, Row, questions, rows

PEER, OWN, FLOOR = "#8a8a8a", "#0b6e4f", "#c1440e"
# Costs below this are drawn at it: nothing costs less than looking.
CHEAPEST = 3e-4
# Methods further off than this many floors only squeeze the picture; they are named at its edge.
FURTHEST = 8.0


def plot(report: Report, directory: Path) -> None:
    """Writes bench.png and bench.svg."""
    plt.switch_backend("Agg")
    panels = questions(report)
    columns = min(2, max(1, len(panels)))
    height = -(-len(panels) // columns)
    figure, axes = plt.subplots(height, columns, figsize=(8.5 * columns, 6.2 * height), squeeze=False)
    for axis, (title, found) in zip(axes.flat, panels.items(), strict=False):
        _panel(axis, title, rows(found))
    for axis in list(axes.flat)[len(panels) :]:
        axis.set_visible(False)
    figure.tight_layout()
    for suffix in ("png", "svg"):
        figure.savefig(directory / f"bench.{suffix}", dpi=130)
    plt.close(figure)


def _panel(axis: Axes, title: str, found: Sequence[Row]) -> None:
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.axhline(1.0, color=FLOOR, linewidth=1, linestyle="--", zorder=1)
    axis.text(CHEAPEST, 1.01, "another retrain", color=FLOOR, fontsize=8)
    placed: list[tuple[float, float]] = []
    for row in found:
        _point(axis, row, placed)
    own = [_place(row) for row in found if row.method.startswith(OURS) and row.pareto]
    axis.plot([x for x, _ in own], [y for _, y in own], color=OWN, linewidth=1.2, alpha=0.6, zorder=2)
    axis.set_title(title, loc="left", fontsize=11)
    axis.set_xlabel("cost, share of a full retrain (instance gradients)")
    axis.set_ylabel("KL from retrained adapters on what changed, in noise floors")
    axis.set_xlim(CHEAPEST * 0.8, 6)
    axis.set_yticks([0.7, 1, 1.5, 2, 3, 5, 8], ["0.7", "1", "1.5", "2", "3", "5", "≥ 8"])
    axis.minorticks_off()
    axis.grid(visible=True, color="#e6e6e6", linewidth=0.6, zorder=0)
    axis.spines[["top", "right"]].set_visible(False)


def _point(axis: Axes, row: Row, placed: list[tuple[float, float]]) -> None:
    x, y = _place(row)
    own = row.method.startswith(OURS)
    values = row.values("fidelity")
    if len(values) > 1:
        axis.vlines(x, min(min(values), FURTHEST), min(max(values), FURTHEST), color=OWN if own else PEER, alpha=0.5)
    axis.scatter([x], [y], s=46 if own else 24, color=OWN if own else PEER, marker="D" if own else "o", zorder=3)
    offset = 3 + 9 * _neighbours(x, y, placed)
    axis.annotate(
        row.method,
        (x, y),
        xytext=(5, offset),
        textcoords="offset points",
        fontsize=8,
        color=OWN if own else "#555555",
        fontweight="bold" if own else "normal",
    )
    placed.append((x, y))


def _neighbours(x: float, y: float, placed: Sequence[tuple[float, float]]) -> int:
    """How many points lie so near that their labels would collide with this one's."""
    return sum(0.33 < x / other < 3 and abs(y / height - 1) < 0.045 for other, height in placed)


def _place(row: Row) -> tuple[float, float]:
    cost = max(CHEAPEST, statistics.fmean(row.values("cost")))
    return cost, min(FURTHEST, statistics.fmean(row.values("fidelity")))
