"""The benchmark as tables: a row a method, mean and spread over forget sets and seeds."""

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.table import Table

from workers.bench.results import Report, Result

OURS = "lethe"
Column = Callable[[Result], float | None]
COLUMNS: dict[str, Column] = {
    "cost": lambda result: result.cost,
    "time": lambda result: result.seconds_share,
    "fidelity": lambda result: result.fidelity,
    "retained": lambda result: result.fidelity_retained,
    "never seen": lambda result: result.fidelity_unseen,
    "reworded": lambda result: result.fidelity_reworded,
    "forget loss": lambda result: result.forget_loss,
    "retrained's": lambda result: result.oracle_forget_loss,
    "AUC": lambda result: result.membership_auc,
    "retrained's AUC": lambda result: result.oracle_membership_auc,
    "ΔW": lambda result: result.delta_distance,
}
LEGEND = (
    "cost: instance gradients, as a share of a full retrain; time: wall time likewise. Fidelity, retained, never seen "
    "and reworded: KL from retrained adapters in noise floors; 1 is another retrain. *: nothing is cheaper and closer."
)


@dataclass(frozen=True, slots=True)
class Row:
    """A method's results on one question. `pareto`: no other method is both cheaper and closer."""

    method: str
    results: tuple[Result, ...]
    pareto: bool

    def values(self, column: str) -> list[float]:
        found = (COLUMNS[column](result) for result in self.results)
        return [value for value in found if value is not None]

    def cell(self, column: str) -> str:
        """Mean, and ± the standard deviation where there is more than one."""
        values = self.values(column)
        if not values:
            return "–"
        spread = f" ±{statistics.stdev(values):.2f}" if len(values) > 1 else ""
        digits = 3 if column == "cost" else 2
        return f"{statistics.fmean(values):.{digits}f}{spread}"


def rows(results: Iterable[Result]) -> list[Row]:
    """One question's results, cheapest first."""
    methods: dict[str, list[Result]] = {}
    for result in results:
        methods.setdefault(result.method, []).append(result)
    means = {
        name: (statistics.fmean(r.cost for r in found), statistics.fmean(r.fidelity for r in found))
        for name, found in methods.items()
    }
    return [
        Row(name, tuple(methods[name]), pareto=not any(_beats(other, means[name]) for other in means.values()))
        for name in sorted(methods, key=lambda name: means[name])
    ]


def questions(report: Report) -> dict[str, list[Result]]:
    """Results by title: task, share and regime."""
    found: dict[str, list[Result]] = {}
    for result in report.results:
        title = f"{result.task} of {result.share}, {result.regime} ({result.world})"
        found.setdefault(title, []).append(result)
    return found


def render(report: Report) -> RenderableType:
    """For the terminal."""
    tables = [_table(title, rows(found)) for title, found in questions(report).items()]
    failures = [f"{item.method} gave no answer to {item.question}: {item.reason}" for item in report.failures]
    return Group(*tables, LEGEND, *failures)


def markdown(report: Report) -> str:
    """For a document."""
    parts = []
    for title, found in questions(report).items():
        lines = [f"### {title}", "", _line(["method", *COLUMNS]), _line(["---"] * (1 + len(COLUMNS)))]
        lines += [_line([_name(row), *(row.cell(column) for column in COLUMNS)]) for row in rows(found)]
        parts.append("\n".join(lines))
    return "\n\n".join([*parts, LEGEND]) + "\n"


def _table(title: str, found: Sequence[Row]) -> Table:
    table = Table(title=title, title_justify="left", header_style="bold")
    table.add_column("method", no_wrap=True)
    for column in COLUMNS:
        table.add_column(column, justify="right")
    for row in found:
        style = "bold" if row.method.startswith(OURS) else None
        table.add_row(_name(row), *(row.cell(column) for column in COLUMNS), style=style)
    return table


def _name(row: Row) -> str:
    return f"{row.method} *" if row.pareto else row.method


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _beats(other: tuple[float, float], own: tuple[float, float]) -> bool:
    return other != own and other[0] <= own[0] and other[1] <= own[1]
