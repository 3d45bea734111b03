"""Reports on the terminal: of one request a table of lines, then one of measurements for every run that has them."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from service.client.answers.requests import Figures, LineReport, MeasuredRun, Report, Summary
from service.domain.runs import RunKind

MARKS = {
    "passed": Text("● passed", style="green"),
    "failed": Text("✕ failed", style="red"),
    "inconclusive": Text("◇ inconclusive", style="yellow"),
    "informative": Text("▫ no verdict", style="dim"),
}


def report_tables(report: Report) -> RenderableType:
    parts: list[RenderableType] = [_lines(report)]
    for line in report.targets:
        parts += [_measurements(line, run) for run in line.runs if _verified(run).get("measurements")]
    return Group(*parts)


def summary_table(summary: Summary) -> Table:
    """A row for all requests, one a regulation and one an operation; below it why requests were denied."""
    table = _table("requests", "received", "complied", "denied", "no match", "canceled", "failed", "open", "overdue",
                   "in time", "late", "mean days", "median days")  # fmt: skip
    groups: list[tuple[str, Figures]] = [("all", summary.total)]
    groups += [(one.regulation or "no regulation", one) for one in summary.by_regulation]
    groups += [(one.operation, one) for one in summary.by_operation]
    for name, one in groups:
        counts = (one.received, one.complied, one.denied, one.no_match, one.canceled, one.failed, one.open,
                  one.overdue, one.in_time, one.late)  # fmt: skip
        days = ("" if value is None else f"{value:.2f}" for value in (one.mean_days, one.median_days))
        table.add_row(name, *map(str, counts), *days)
    denials = [f"denied, {one.reason_code}: {one.count}" for one in summary.denials]
    table.caption = "\n".join(denials) or None
    return table


def _lines(report: Report) -> Table:
    """A row a run; a line without runs has one too."""
    table = _table(
        "adapter", "state", "version", "claim", "run", "forgotten loss", "retained loss", "never seen", "fidelity"
    )
    table.title = f"{report.request}: {report.state}"
    for line in report.targets:
        head = (line.adapter, line.state, line.version or "", line.claim_level or "")
        for number, run in enumerate(line.runs):
            table.add_row(*(head if number == 0 else ("",) * len(head)), *_run(run))
        if not line.runs:
            table.add_row(*head)
    why = [f"{line.adapter}: {choice.strategy}. {choice.reason}" for line in report.targets for choice in line.choices]
    table.caption = "\n".join([*why, *_reasons(report)]) or None
    return table


def _run(run: MeasuredRun) -> tuple[str, ...]:
    measured = run.measurements or {}
    before, after = measured.get("before") or {}, measured.get("after") or {}
    keys = ("forget", "retained", "holdout")
    losses = [_number(after.get(key)) for key in keys]
    if run.kind == RunKind.influence:
        # Other runs compare with the bare base model, which is not the state before the request.
        losses = [f"{_number(before.get(key))} → {loss}" for key, loss in zip(keys, losses, strict=True)]
    return (run.kind, *losses, _number(measured.get("fidelity")))


def _reasons(report: Report) -> Iterator[str]:
    for line in report.targets:
        for run in line.runs:
            yield from (str(reason) for reason in (run.measurements or {}).get("reasons") or ())
            yield from (f"{name} was not run: {why}" for name, why in (_verified(run).get("not_run") or {}).items())


def _measurements(line: LineReport, run: MeasuredRun) -> Table:
    table = _table("metric", "instances", "n", "before", "after", "reference", "difference", "margin", "worst", "")
    table.title = f"\n{line.adapter}, {run.kind}" + (f" → {run.version}" if run.version else "")
    for one in _verified(run)["measurements"]:
        span = one.get("difference")
        table.add_row(
            str(one["metric"]).replace("_", " "),
            str(one["group"]).replace("_", " "),
            str(one["n"]),
            *(_number(one.get(name)) for name in ("before", "after", "reference")),
            "–" if span is None else f"[{_number(span['low'])}, {_number(span['high'])}]",
            _number(one.get("margin")),
            _number(one.get("worst")),
            MARKS.get(str(one["outcome"]), str(one["outcome"])),
        )
    return table


def _verified(run: MeasuredRun) -> Mapping[str, Any]:
    """Empty for a run that was measured before verifications were recorded."""
    return (run.measurements or {}).get("verified") or {}


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _table(*columns: str) -> Table:
    table = Table(*columns, box=None, header_style="bold", title_justify="left", caption_justify="left")
    table.title_style = "bold"
    return table
