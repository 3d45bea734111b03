"""Runs."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from service.api.auth import Caller
from service.api.context import InContext
from service.api.paging import InPages
from service.api.problems import problems
from service.api.schemas.runs import RunPage, RunRead
from service.api.views.runs import run_read
from service.api.visibility import view_of, visible_line, visible_run

router = APIRouter(prefix="/v1/runs", tags=["runs"])


@router.get("", responses=problems(400, 404))
def list_runs(
    context: InContext,
    actor: Caller,
    paging: InPages,
    adapter: Annotated[str | None, Query(max_length=63, description="Only those of this line.")] = None,
) -> RunPage:
    """List runs, newest first."""
    filters = {"adapter": adapter}
    with context.store.read() as unit:
        page = unit.runs.list(
            after=paging.position("runs", filters),
            limit=paging.limit,
            line_id=None if adapter is None else visible_line(unit, actor, adapter).id,
            view=view_of(actor),
        )
        pools = set(unit.runs.pools_alive(unit.now, within_s=context.settings.lease_s))
        items = [run_read(unit, run, pools=pools) for run in page.items]
    return RunPage(items=items, next_cursor=paging.after(page.next, "runs", filters))


@router.get("/{run_id}", responses=problems(404))
def get_run(
    run_id: Annotated[str, Path(max_length=48, description="The run's id.", examples=["run_0192…"])],
    context: InContext,
    actor: Caller,
) -> RunRead:
    """Read a run."""
    with context.store.read() as unit:
        pools = set(unit.runs.pools_alive(unit.now, within_s=context.settings.lease_s))
        return run_read(unit, visible_run(unit, actor, run_id), pools=pools)
