"""Try a version on a part of an alias's traffic: begin, measure, promote, take back."""

from fastapi import APIRouter

from service.api.auth import Caller
from service.api.context import InContext
from service.api.parameters import AliasName, LineName
from service.api.problems import problems
from service.api.schemas.adapters import AliasRead, CanarySet, Observations
from service.api.views.adapters import alias_read
from service.api.visibility import visible_line
from service.flows.canary import abort, observe, promote, set_canary
from service.flows.lookup import find_alias
from service.flows.strategy import policy_of

router = APIRouter(prefix="/v1/adapters/{name}/aliases/{alias}/canary", tags=["adapters"])


@router.put("", responses=problems(400, 404, 409, 410, 413, 415))
def begin_canary(name: LineName, alias: AliasName, body: CanarySet, context: InContext, actor: Caller) -> AliasRead:
    """Try a version beside the alias's own, in place of one that is on trial there. Never one behind an erasure."""
    with context.store.write() as unit:
        line = visible_line(unit, actor, name)
        rules = body.rules or policy_of(line).canary
        row = set_canary(unit, name, alias, version=body.version, rules=rules, actor=actor.id)
        return alias_read(unit, line, row)


@router.delete("", responses=problems(404))
def end_canary(name: LineName, alias: AliasName, context: InContext, actor: Caller) -> AliasRead:
    """Take the canary back: all traffic goes to the alias's own version again."""
    with context.store.write() as unit:
        line = visible_line(unit, actor, name)
        return alias_read(unit, line, abort(unit, name, alias, actor=actor.id))


@router.post("/observations", responses=problems(400, 404, 413, 415))
def observe_canary(
    name: LineName, alias: AliasName, body: Observations, context: InContext, actor: Caller
) -> AliasRead:
    """Send what was measured of the canary. It is promoted or taken back at once if that decides it."""
    with context.store.write() as unit:
        line = visible_line(unit, actor, name)
        observe(unit, name, alias, body.values)
        return alias_read(unit, line, find_alias(unit, line, alias))


@router.post("/promote", responses=problems(400, 404))
def promote_canary(name: LineName, alias: AliasName, context: InContext, actor: Caller) -> AliasRead:
    """Point the alias at its canary now, whatever was measured of it."""
    with context.store.write() as unit:
        line = visible_line(unit, actor, name)
        return alias_read(unit, line, promote(unit, name, alias, actor=actor.id))
