"""Adapter lines, their aliases, and what is asked of a whole line."""

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from service.api.auth import Caller
from service.api.context import InContext
from service.api.idempotency import Answer, JsonCreation
from service.api.paging import InPages
from service.api.parameters import AliasName, LineName
from service.api.problems import problems
from service.api.schemas.adapters import (
    AdapterCreate,
    AdapterPage,
    AdapterRead,
    AdapterUpdate,
    AliasList,
    AliasRead,
    AliasSet,
    Retirement,
)
from service.api.schemas.runs import RunRead
from service.api.schemas.versions import Withdrawal, Withdrawn
from service.api.views.adapters import adapter_read, alias_read, version_read
from service.api.views.runs import run_read
from service.api.visibility import view_of, visible_line
from service.domain.errors import Forbidden
from service.flows.alias import drop_alias
from service.flows.alias import set_alias as move_alias
from service.flows.change_policy import update_policy
from service.flows.compact import rebuild_now
from service.flows.lines import create_line
from service.flows.lookup import find_alias
from service.flows.retire import retire
from service.flows.withdraw import withdraw
from service.store.database import Unit

router = APIRouter(prefix="/v1/adapters", tags=["adapters"])


@router.post("", status_code=201, response_model=AdapterRead, responses=problems(400, 409, 413, 415))
def create_adapter(body: AdapterCreate, actor: Caller, creation: JsonCreation) -> JSONResponse:
    """Create an adapter line. It has no version until one is trained or imported."""
    if not actor.sees(body.name):
        raise Forbidden("The key is bound to other lines.", field="/name", code="key-is-bound")

    def effect(unit: Unit) -> Answer:
        line = create_line(unit, body.name, body.base_model, body.policy, pool=body.pool, actor=actor.id)
        return Answer(201, adapter_read(unit, line), f"/v1/adapters/{line.name}")

    return creation.once(effect)


@router.get("", responses=problems(400))
def list_adapters(context: InContext, actor: Caller, paging: InPages) -> AdapterPage:
    """List adapter lines, newest first."""
    with context.store.read() as unit:
        page = unit.lines.page_of_lines(after=paging.position("adapters"), limit=paging.limit, view=view_of(actor))
        items = [adapter_read(unit, line) for line in page.items]
    return AdapterPage(items=items, next_cursor=paging.after(page.next, "adapters"))


@router.get("/{name}", responses=problems(404))
def get_adapter(name: LineName, context: InContext, actor: Caller) -> AdapterRead:
    """Read a line."""
    with context.store.read() as unit:
        return adapter_read(unit, visible_line(unit, actor, name))


@router.patch("/{name}", responses=problems(400, 404, 413, 415))
def update_adapter(name: LineName, body: AdapterUpdate, context: InContext, actor: Caller) -> AdapterRead:
    """Change a line's policy. Work that is queued already keeps the strategy it was given."""
    with context.store.write() as unit:
        visible_line(unit, actor, name)
        line = update_policy(unit, name, body.policy.given(), actor=actor.id)
        return adapter_read(unit, line)


@router.post("/{name}/retire", responses=problems(400, 404, 409, 413, 415))
def retire_adapter(name: LineName, body: Retirement, context: InContext, actor: Caller) -> AdapterRead:
    """Take a line out of service for good. This cannot be undone, and its name stays taken.

    All versions are withdrawn, aliases removed, runs aborted, and the keys to what was derived from its training data
    destroyed. Open requests that remove something are answered by that, with their final certificate; corrections that
    were not made are called off. What waits for approval or is on hold still waits, and is answered in the same way.
    The dataset stays, but for what was to be removed. The line takes no more requests and trainings.
    """
    with context.store.write() as unit:
        visible_line(unit, actor, name)
        return adapter_read(unit, retire(unit, context.vault, name, actor=actor.id, reason=body.reason))


@router.get("/{name}/aliases", responses=problems(404))
def list_aliases(name: LineName, context: InContext, actor: Caller) -> AliasList:
    """List a line's aliases."""
    with context.store.read() as unit:
        line = visible_line(unit, actor, name)
        return AliasList(items=[alias_read(unit, line, alias) for alias in unit.lines.aliases(line.id)])


@router.get("/{name}/aliases/{alias}", responses=problems(404))
def get_alias(name: LineName, alias: AliasName, context: InContext, actor: Caller) -> AliasRead:
    """Read where an alias points."""
    with context.store.read() as unit:
        line = visible_line(unit, actor, name)
        return alias_read(unit, line, find_alias(unit, line, alias))


@router.put("/{name}/aliases/{alias}", responses=problems(400, 404, 409, 410, 413, 415))
def set_alias(name: LineName, alias: AliasName, body: AliasSet, context: InContext, actor: Caller) -> AliasRead:
    """Point an alias at a version, if it still points at `expected`. Never to one that would undo an erasure."""
    with context.store.write() as unit:
        line = visible_line(unit, actor, name)
        row = move_alias(unit, name, alias, version=body.version, expected=body.expected, actor=actor.id)
        return alias_read(unit, line, row)


@router.delete("/{name}/aliases/{alias}", status_code=204, responses=problems(404))
def delete_alias(name: LineName, alias: AliasName, context: InContext, actor: Caller) -> Response:
    """Remove an alias."""
    with context.store.write() as unit:
        visible_line(unit, actor, name)
        drop_alias(unit, name, alias, actor=actor.id)
    return Response(status_code=204)


@router.post("/{name}/rebuilds", status_code=202, response_model=RunRead, responses=problems(400, 404, 409))
def create_rebuild(name: LineName, context: InContext, actor: Caller, creation: JsonCreation) -> JSONResponse:
    """Retrain now without anything that was forgotten since the anchor: the line becomes exact."""

    def effect(unit: Unit) -> Answer:
        visible_line(unit, actor, name)
        run = rebuild_now(unit, name, actor=actor.id)
        pools = unit.runs.pools_alive(unit.now, within_s=context.settings.lease_s)
        return Answer(202, run_read(unit, run, pools=set(pools)), f"/v1/runs/{run.id}")

    return creation.once(effect)


@router.post("/{name}/withdraw", responses=problems(400, 404, 409, 413, 415))
def withdraw_versions(name: LineName, body: Withdrawal, context: InContext, actor: Caller) -> Withdrawn:
    """Take versions out of service now, before their grace period ends."""
    with context.store.write() as unit:
        line = visible_line(unit, actor, name)
        gone = withdraw(unit, name, body.versions, actor=actor.id)
        return Withdrawn(items=[version_read(unit, line, version) for version in gone])
