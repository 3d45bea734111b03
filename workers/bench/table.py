"""The benchmark as tables: a row a method, mean and spread over forget sets and seeds."""

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table

from workers.bench.results import Report, Result

OURS = "lethe"
Figure = Callable[[Result], float | None]


@dataclass(frozen=True, slots=True)
class Column:
    """A figure with so many decimals; `retrained` is the same figure of the oracles, shown in brackets."""

    figure: Figure
    decimals: int = 2
    retrained: Figure | None = None
    middle: bool = False

    def cell(self, results: Sequence[Result]) -> str:
        """Mean ± standard deviation, or the median where that is the `middle`; a dash where there is nothing."""
        values = _present(self.figure, results)
        if not values:
            return "–"
        shown = self._number(statistics.median(values) if self.middle else statistics.fmean(values))
        if len(values) > 1 and not self.middle and all(map(math.isfinite, values)):
            shown += f" ±{self._number(statistics.stdev(values))}"
        expected = _present(self.retrained, results) if self.retrained else []
        return f"{shown} ({self._number(statistics.fmean(expected))})" if expected else shown

    def _number(self, value: float) -> str:
        return f"{value:.{self.decimals}f}" if math.isfinite(value) else "∞"


COLUMNS: dict[str, Column] = {
    "cost": Column(lambda result: result.cost, decimals=3),
    "seconds": Column(lambda result: result.seconds, decimals=1),
    "time": Column(lambda result: result.seconds_share, decimals=3),
    "fidelity": Column(lambda result: result.fidelity),
    "median": Column(lambda result: result.fidelity, middle=True),
    "retained": Column(lambda result: result.fidelity_retained),
    "never seen": Column(lambda result: result.fidelity_unseen),
    "reworded": Column(lambda result: result.fidelity_reworded),
    "forget loss": Column(lambda result: result.forget_loss, retrained=lambda result: result.oracle_forget_loss),
    "relearned": Column(lambda result: result.relearn_after, retrained=lambda result: result.oracle_relearn_after),
    "AUC": Column(lambda result: result.membership_auc, retrained=lambda result: result.oracle_membership_auc),
    "ΔW": Column(lambda result: result.delta_distance),
}
# Where a terminal has no room for all of them, nor would there be any to read.
WIDE, NARROW = 180, ("cost", "fidelity", "retained", "forget loss")
LEGEND = (
    "cost: instance gradients, as a share of a full retrain; time: wall time likewise. fidelity, retained, never "
    "seen, reworded: KL from retrained adapters, in noise floors (1 is another retrain); median: of fidelity. "
    "forget loss: on what was removed or replaced, in brackets that of retrained adapters; relearned: on one half of "
    "it after the other half was taught again; AUC: of telling it from never-seen data by loss. ΔW: distance of the "
    "weight change from a retrain's (1 is doing nothing). ±: standard deviation over forget sets and seeds. "
    "*: nothing is both cheaper and closer."
)


@dataclass(frozen=True, slots=True)
class Row:
    """A method's results on one question. `pareto`: no other method is both cheaper and closer."""

    method: str
    results: tuple[Result, ...]
    pareto: bool

    @property
    def ours(self) -> bool:
        return self.method.startswith(OURS)

    def values(self, column: str) -> list[float]:
        return _present(COLUMNS[column].figure, self.results)

    def cell(self, column: str) -> str:
        return COLUMNS[column].cell(self.results)


def rows(results: Iterable[Result]) -> list[Row]:
    """One question's results, cheapest first."""
    methods: dict[str, list[Result]] = {}
    for result in results:
        methods.setdefault(result.method, []).append(result)
    places = {name: _place(found) for name, found in methods.items()}
    return [
        Row(name, tuple(methods[name]), pareto=not any(_beats(other, places[name]) for other in places.values()))
        for name in sorted(methods, key=lambda name: places[name])
    ]


def questions(report: Report) -> dict[str, list[Result]]:
    """Results by title: task, share and regime."""
    found: dict[str, list[Result]] = {}
    for result in report.results:
        title = f"{result.task} of {result.share}, {result.regime} ({result.world})"
        found.setdefault(title, []).append(result)
    return found


def render(report: Report, width: int) -> RenderableType:
    """For a terminal of so many characters a line; a narrow one gets the columns that matter most."""
    columns = tuple(COLUMNS) if width >= WIDE else NARROW
    tables = [_table(title, rows(found), columns) for title, found in questions(report).items()]
    return Group(*tables, LEGEND, *_failures(report))


def markdown(report: Report) -> str:
    """For a document."""
    parts = []
    for title, found in questions(report).items():
        lines = [f"### {title}", "", _line(["method", *COLUMNS]), _line(["---", *["---:"] * len(COLUMNS)])]
        for row in rows(found):
            name = f"**{row.method}**" if row.ours else row.method
            # A bare asterisk would be taken for emphasis.
            lines.append(_line([name + r" \*" * row.pareto, *(row.cell(column) for column in COLUMNS)]))
        parts.append("\n".join(lines))
    failures = "\n".join(f"- {failure}" for failure in _failures(report))
    return "\n\n".join(part for part in (*parts, LEGEND.replace("*", r"\*"), failures) if part) + "\n"


def _table(title: str, found: Sequence[Row], columns: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", header_style="bold", box=box.SIMPLE_HEAD)
    table.add_column("method", no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right")
    for row in found:
        name = f"{row.method} *" if row.pareto else row.method
        table.add_row(name, *(row.cell(column) for column in columns), style="bold" if row.ours else None)
    return table


def _failures(report: Report) -> list[str]:
    """One line a method and question, however many forget sets and seeds it failed on."""
    found: dict[str, list[str]] = {}
    for failure in report.failures:
        place = f"{failure.method} gave no answer to {failure.task} of {failure.share}, {failure.regime}"
        found.setdefault(place, []).append(failure.reason)
    return [f"{place} ({len(reasons)}×): {reasons[0]}" for place, reasons in found.items()]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _present(figure: Figure, results: Sequence[Result]) -> list[float]:
    return [value for result in results if (value := figure(result)) is not None]


def _place(results: Sequence[Result]) -> tuple[float, float]:
    """Mean cost and fidelity; a method that diverged is infinitely far away."""
    fidelity = statistics.fmean(result.fidelity for result in results)
    return statistics.fmean(result.cost for result in results), fidelity if math.isfinite(fidelity) else math.inf


def _beats(other: tuple[float, float], own: tuple[float, float]) -> bool:
    return other != own and other[0] <= own[0] and other[1] <= own[1]
