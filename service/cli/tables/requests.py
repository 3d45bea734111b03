"""Requests, runs and plans as tables."""

from collections.abc import Sequence
from datetime import datetime

from rich.table import Table

from service.cli.tables.cells import state_of, table_of
from service.client.answers.requests import Plan, Request, Run
from service.domain.scheduling import Wait


def requests_table(requests: Sequence[Request]) -> Table:
    """A row a target."""
    table = table_of("request", "state", "due", "adapter", "target", "strategy", "version", "claim")
    for request in requests:
        outcome = f"({request.outcome})" if request.outcome else ""
        state = state_of(request.state, outcome, warning="held" if request.on_hold else "")
        # The moment, since the day in UTC may be the one after.
        first = (request.id, state, f"{request.due_at:%Y-%m-%d %H:%M}")
        for number, target in enumerate(request.targets):
            table.add_row(
                *(first if number == 0 else ("", "", "")),
                target.adapter,
                state_of(target.state, waiting(target.waiting_for, target.not_before)),
                target.strategy or "",
                target.version or "",
                target.claim_level or "",
            )
        if not request.targets:
            table.add_row(*first)
    reasons = [f"{r.failure.code}: {r.failure.detail}" for r in requests if r.failure]
    table.caption = "\n".join(reasons) or None
    return table


def waiting(what: str | None, until: datetime | None) -> str:
    """What something waits for, and until when if that is known."""
    if what is None:
        return ""
    known = f" until {until:%Y-%m-%d %H:%M:%S}" if until is not None and what in tuple(Wait) else ""
    return f"waiting for {what.replace('_', ' ')}{known}"


def run_table(run: Run) -> Table:
    table = table_of("run", "adapter", "kind", "state", "stage", "progress", "version", "seconds")
    seconds = ", ".join(f"{stage} {value:.1f}" for stage, value in (run.seconds or {}).items())
    table.add_row(
        run.id,
        run.adapter,
        run.kind,
        state_of(run.state),
        waiting(run.waiting_for, run.not_before) or run.stage or "",
        f"{run.progress:.0%}",
        run.version or "",
        seconds,
    )
    return table


def plan_table(plan: Plan) -> Table:
    table = table_of(
        "adapter", "removals", "corrections", "duplicates", "near", "share", "strategy", "takes", "fidelity", "claim",
        "why",
    )  # fmt: skip
    for line in plan.lines:
        takes = "not measured yet" if line.estimated_seconds is None else f"{line.estimated_seconds:.0f} s"
        takes = ", ".join(filter(None, [takes, waiting(line.waiting_for, line.starts_at)]))
        table.add_row(
            f"{line.adapter}@{line.version}",
            str(line.removals),
            str(line.corrections),
            str(line.exact_duplicates),
            str(len(line.near_duplicates)),
            f"{line.share:.1%}",
            state_of(line.strategy, warning="needs approval" if line.needs_approval else ""),
            takes,
            "" if line.predicted_fidelity is None else f"{line.predicted_fidelity:.2f} ({line.grade})",
            line.claim_level,
            line.reason,
        )
    found = [] if plan.lines else ["No line holds what it names. Filed, it would be answered at once: nothing found."]
    unknown = [f"no subject index on: {', '.join(plan.unindexed)}"] if plan.unindexed else []
    table.caption = "\n".join([*found, *unknown]) or None
    return table
