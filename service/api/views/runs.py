"""Runs, as clients see them."""

from service.api.schemas.runs import RunRead
from service.api.views.adapters import version_name
from service.domain.runs import RunKind
from service.domain.states import RunState
from service.flows.claim import waiting_for
from service.store.database import Unit
from service.store.tables import Run

OPEN = (RunState.queued, RunState.running)


def run_read(unit: Unit, run: Run, *, pools: set[str]) -> RunRead:
    """`pools`: the pools that live workers serve."""
    return RunRead.model_validate(
        {
            "id": run.id,
            "adapter": unit.lines.get(run.line_id).name,
            "kind": run.kind,
            "strategy": run.kind if run.kind in (RunKind.influence, RunKind.rebuild) else None,
            "state": run.state,
            "is_terminal": run.state not in OPEN,
            "stage": run.stage,
            "progress": run.progress,
            "attempt": run.attempt,
            "not_before": run.not_before,
            "waiting_for": waiting_for(unit, run, pools),
            "because": run.because,
            "requests": [target.request_id for target in unit.targets.of_run(run.id)],
            "version": version_name(unit, run.version_id or _made_by(unit, run)),
            "seconds": run.seconds,
            "failure": _failure(run.failure),
            "created_at": run.created_at,
            "started_at": run.started_at,
            "finished_at": run.finished_at,
        }
    )


def _made_by(unit: Unit, run: Run) -> str | None:
    """The newest version that this run published."""
    made = unit.versions.newest_of_run(run) if run.state is RunState.succeeded else None
    return None if made is None else made.id


def _failure(failure: dict[str, object] | None) -> dict[str, object] | None:
    return None if failure is None else {"code": failure["code"], "detail": failure["detail"]}
