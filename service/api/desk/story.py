"""One request: what it asks for, how far it is on every line, what happened, what may be decided, and the proof."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from service.api.desk.history import Happening, history
from service.api.desk.offers import Offered, offered
from service.api.desk.visit import Visit
from service.api.desk.words import Said, clock_of, state_of
from service.api.report.account import Account, LineAccount, account
from service.api.schemas.requests import RequestRead, TargetRead
from service.api.schemas.runs import RunRead
from service.api.schemas.serving_targets import SwapReceiptRead
from service.api.views.runs import run_read
from service.api.views.serving_targets import swap_receipts
from service.domain.clocks import latest_due_at
from service.domain.runs import RunKind, lane_of
from service.domain.states import TargetState
from service.store.database import Unit
from service.store.tables import Run, UnlearningRequest


@dataclass(frozen=True, slots=True)
class LineStory:
    """One affected line, and the run that is at work on it or was last."""

    account: LineAccount
    target: TargetRead
    run: RunRead | None


@dataclass(frozen=True, slots=True)
class Story:
    request: RequestRead
    state: Said
    clock: Said
    lines: Sequence[LineStory]
    history: Sequence[Happening]
    swaps: Sequence[SwapReceiptRead]
    offered: Offered
    latest: datetime | None

    @property
    def has_certificates(self) -> bool:
        return any(line.account.statements for line in self.lines)


def story(unit: Unit, request: UnlearningRequest, visit: Visit) -> Story:
    """Read it all. `latest`: up to when the law lets it be extended; None if that is not known."""
    told, zone = account(unit, request), visit.context.settings.zone
    runs = [run.run for line in told.lines for run in line.runs]
    return Story(
        request=told.request,
        state=state_of(told.request),
        clock=clock_of(told.request, unit.now, visit.context.settings.due_soon),
        lines=_lines(unit, told, visit),
        history=history(unit, request, runs, zone),
        swaps=list(swap_receipts(unit, request)),
        offered=offered(unit, request, visit),
        latest=latest_due_at(request.received_at, request.regulation, zone),
    )


def _lines(unit: Unit, told: Account, visit: Visit) -> list[LineStory]:
    pools = set(unit.runs.pools_alive(unit.now, within_s=visit.context.settings.lease_s))
    lines = []
    for target, line in zip(told.request.targets, told.lines, strict=True):
        run = _run(unit, target)
        read = None if run is None else run_read(unit, run, pools=pools)
        lines.append(LineStory(line, target, read))
    return lines


def _run(unit: Unit, target: TargetRead) -> Run | None:
    """The run that serves a target or did; of one that is queued, the run that will take it."""
    if target.run is not None:
        return unit.runs.get(target.run)
    line = unit.lines.by_name(target.adapter)
    if target.state is not TargetState.queued or line is None:
        return None
    return unit.runs.queued(line.id, lane_of(RunKind(target.strategy)))
