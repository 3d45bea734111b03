"""Reports, as clients see them: one document, or one table."""

from collections.abc import Iterator
from dataclasses import asdict, fields
from typing import Any

from service.api.schemas.reports import (
    DenialCount,
    FiguresRead,
    OperationFigures,
    RegulationFigures,
    SummaryRead,
)
from service.domain.reports import Figures, Summary
from service.store.repositories import RequestFilter

# The rows of the table are told apart by `group` and `name`; a denial's reason has its count in `denied`.
COLUMNS = ("group", "name", *(field.name for field in fields(Figures)))


def summary_read(summary: Summary, wanted: RequestFilter) -> SummaryRead:
    return SummaryRead(
        received_after=wanted.received_after,
        received_before=wanted.received_before,
        total=FiguresRead(**_figures(summary.total)),
        by_regulation=[
            RegulationFigures(regulation=name, **_figures(figures))
            for name, figures in sorted(summary.by_regulation.items(), key=lambda item: item[0] or "")
        ],
        by_operation=[
            OperationFigures(operation=name, **_figures(figures))
            for name, figures in sorted(summary.by_operation.items())
        ],
        denials=[DenialCount(reason_code=code, count=count) for code, count in sorted(summary.denials.items())],
    )


def summary_rows(read: SummaryRead) -> Iterator[list[object]]:
    groups: list[tuple[str, str | None, FiguresRead]] = [("total", None, read.total)]
    groups += [("regulation", figures.regulation, figures) for figures in read.by_regulation]
    groups += [("operation", figures.operation, figures) for figures in read.by_operation]
    for group, name, figures in groups:
        yield [group, name, *(getattr(figures, column) for column in COLUMNS[2:])]
    for denial in read.denials:
        yield ["denial", denial.reason_code, *(denial.count if column == "denied" else None for column in COLUMNS[2:])]


def _figures(figures: Figures) -> dict[str, Any]:
    """Days to the hundredth."""
    return {name: round(value, 2) if isinstance(value, float) else value for name, value in asdict(figures).items()}
