"""Move targets and keep their requests' states in step; report a run's stage."""

from collections.abc import Iterable

from service.domain.engine import Stage
from service.domain.states import (
    TERMINAL_REQUEST_STATES,
    RequestState,
    TargetState,
    check_target_transition,
    request_outcome,
    request_state,
)
from service.flows.erase import forget_request
from service.flows.fence import fenced_run
from service.store.database import Unit
from service.store.tables import Target


def move_targets(
    unit: Unit, targets: Iterable[Target], to: TargetState, *, failure: dict[str, object] | None = None
) -> None:
    """Take these targets to one state and bring their requests up to date.

    Raises:
        IllegalTransition: a target cannot make that step.
    """
    moved = list(targets)
    for target in moved:
        check_target_transition(target.state, to)
        target.state, target.failure = to, failure
    unit.session.flush()
    for request_id in dict.fromkeys(target.request_id for target in moved):
        refresh_request(unit, request_id)


def refresh_request(unit: Unit, request_id: str) -> None:
    """Derive the request's state from its targets; an actual change becomes an event."""
    request = unit.requests.lock(request_id)
    assert request is not None, "targets refer to existing requests"
    targets = unit.targets.of_request(request_id)
    state = request_state(target.state for target in targets)
    request.failure = next((target.failure for target in targets if target.failure), None)
    if state is request.state:
        return
    request.state = state
    if state is RequestState.succeeded:
        request.outcome = request_outcome(target.state for target in targets)
    is_over = state in TERMINAL_REQUEST_STATES
    request.finished_at = unit.now if is_over else None
    if is_over:
        # A hold ends with its request: there is nothing left to release.
        request.on_hold = False
    if is_over and state is not RequestState.succeeded:
        forget_request(unit, request_id)
    unit.emit("request.state", request_id=request_id, state=state, outcome=request.outcome)


def report_progress(unit: Unit, run_id: str, fence: int, stage: Stage, share: float) -> None:
    """Note a running run's stage and how much of it is done (0 to 1).

    Raises:
        Fenced: another claim holds the run, or it was handed back.
    """
    run = fenced_run(unit, run_id, fence)
    run.stage, run.progress = stage, share
    line = unit.lines.get(run.line_id)
    unit.emit("run.progress", adapter=line.name, run_id=run_id, stage=stage, progress=round(share, 3))
