"""The plot: both files, whatever the report holds, and labels that keep apart."""

import math
from itertools import combinations
from pathlib import Path

import pytest
from matplotlib import pyplot as plt

from tests.workers.bench.some_results import report, result
from workers.bench.labels import Label, attach
from workers.bench.plot import plot
from workers.bench.results import Report

SOME = (
    result("nothing", 0.0, 2.5),
    result("retrain", 1.0, 1.0),
    result("graddiff", 0.2, 2.4),
    result("lethe", 0.03, 0.8, seed=0),
    result("lethe", 0.04, 1.1, seed=1),
    result("lethe-imported", 0.08, 1.7),
)


def _svg(found: Report, directory: Path) -> str:
    # Text as text rather than as outlines, so that it can be looked for.
    with plt.rc_context({"svg.fonttype": "none"}):
        plot(found, directory)
    return (directory / "bench.svg").read_text(encoding="utf-8")


def test_it_names_every_method_and_question(tmp_path: Path) -> None:
    svg = _svg(report(*SOME, result("lethe", 0.03, 1.2, task="correction")), tmp_path)
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")
    for text in ("nothing", "graddiff", "lethe-imported", "removal of a tenth, memorised", "correction of a tenth"):
        assert text in svg


@pytest.mark.parametrize("fidelity", [math.inf, math.nan, 1e6])
def test_a_method_that_diverged_is_still_named(tmp_path: Path, fidelity: float) -> None:
    assert "ascent" in _svg(report(*SOME, result("ascent", 0.1, fidelity)), tmp_path)


def test_an_empty_report_is_an_empty_picture(tmp_path: Path) -> None:
    plot(report(), tmp_path)
    assert (tmp_path / "bench.png").is_file()


def test_labels_of_neighbours_do_not_overlap() -> None:
    figure, axis = plt.subplots(figsize=(8, 5))
    axis.set(xlim=(0, 1), ylim=(0, 1))
    attach(axis, [Label(f"method-{n}", 0.5 + 0.01 * n, 0.5, "black", bold=False) for n in range(8)])
    figure.canvas.draw()
    # The extent of an annotation includes its line; that of its text alone is asked of the base class.
    boxes = [plt.Text.get_window_extent(text) for text in axis.texts]
    assert len(boxes) == 8
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    plt.close(figure)
