"""The tables: one row a method, cheapest first, and the undominated ones marked."""

import math
from io import StringIO

import pytest
from rich.console import Console

from tests.workers.bench.some_results import report, result
from workers.bench.results import Failure, Report
from workers.bench.table import COLUMNS, markdown, questions, render, rows

SOME = (
    result("retrain", 1.0, 1.0, seconds=40),
    result("finetune", 0.2, 1.9),
    result("graddiff", 0.25, 2.6),
    result("lethe", 0.03, 0.8, seed=0),
    result("lethe", 0.05, 1.2, seed=1),
    result("nothing", 0.0, 2.5),
)


def _text(found: Report, width: int = 250) -> str:
    console = Console(width=width, file=StringIO())
    with console.capture() as shown:
        console.print(render(found, width))
    return shown.get()


def test_methods_are_summed_up_and_sorted_by_cost() -> None:
    found = rows(SOME)
    assert [row.method for row in found] == ["nothing", "lethe", "finetune", "graddiff", "retrain"]
    assert found[1].cell("cost") == "0.040 ±0.014"
    assert found[1].cell("fidelity") == "1.00 ±0.28"
    assert found[1].cell("median") == "1.00"


def test_only_what_nothing_beats_in_both_is_marked() -> None:
    assert {row.method for row in rows(SOME) if row.pareto} == {"nothing", "lethe"}


@pytest.mark.parametrize("fidelity", [math.inf, math.nan])
def test_a_method_that_diverged_is_never_marked(fidelity: float) -> None:
    found = rows([*SOME, result("ascent", 0.01, fidelity, seed=0), result("ascent", 0.01, 3.0, seed=1)])
    (row,) = [row for row in found if row.method == "ascent"]
    assert not row.pareto
    assert row.cell("fidelity") == "∞"


def test_the_retrained_figure_stands_in_brackets_and_a_missing_one_is_a_dash() -> None:
    (row,) = rows([result("lethe", 0.03, 0.8, relearn_after=1.0, oracle_relearn_after=1.25)])
    assert row.cell("forget loss") == "1.50 (2.50)"
    assert row.cell("relearned") == "1.00 (1.25)"
    assert row.cell("reworded") == "–"


def test_a_narrow_terminal_gets_the_figures_that_matter_most_and_none_is_cut() -> None:
    shown = _text(report(*SOME), width=80)
    assert "…" not in shown
    assert "0.040 ±0.014" in shown
    assert "AUC" not in shown.split("cost:")[0]


def test_every_question_has_its_own_table() -> None:
    found = report(*SOME, result("lethe", 0.03, 0.9, task="correction"))
    assert list(questions(found)) == [
        "removal of a tenth, memorised (generated)",
        "correction of a tenth, memorised (generated)",
    ]
    assert all(title in _text(found) for title in questions(found))


def test_markdown_has_a_line_a_method_and_ours_in_bold() -> None:
    lines = markdown(report(*SOME)).splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 2 + 5
    assert {line.count("|") for line in table} == {len(COLUMNS) + 2}
    assert table[3].startswith(r"| **lethe** \* |")


def test_failures_are_told_once_a_question() -> None:
    about = result("lissa", 0.1, 1.0).model_dump(include={"method", "world", "task", "share", "regime", "forget_set"})
    failures = tuple(Failure.model_validate({**about, "seed": seed, "reason": "it diverged"}) for seed in range(3))
    found = report(*SOME, failures=failures)
    line = "lissa gave no answer to removal of a tenth, memorised (3×): it diverged"
    assert line in _text(found)
    assert f"- {line}" in markdown(found)
