"""Be like an older version again, but for what was erased since."""

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from service.api.auth import Caller
from service.api.context import InContext
from service.api.idempotency import Answer, JsonCreation
from service.api.parameters import LineName
from service.api.problems import problems
from service.api.schemas.versions import RollForwardCreate, RollForwardPlan, VersionRead
from service.api.views.adapters import roll_forward_plan, version_read
from service.api.visibility import visible_line
from service.flows.roll_forward import plan_roll_forward as planned
from service.flows.roll_forward import roll_forward
from service.store.database import Unit

router = APIRouter(prefix="/v1/adapters/{name}", tags=["versions"])


@router.post("/roll-forward-plans", responses=problems(400, 404, 409, 413, 415))
def plan_roll_forward(name: LineName, body: RollForwardCreate, context: InContext, actor: Caller) -> RollForwardPlan:
    """Show what a roll-forward would train. Changes nothing."""
    with context.store.read() as unit:
        return roll_forward_plan(planned(unit, visible_line(unit, actor, name), body.version))


@router.post(
    "/roll-forwards", status_code=202, response_model=VersionRead, responses=problems(400, 404, 409, 413, 415)
)
def create_roll_forward(
    name: LineName, body: RollForwardCreate, actor: Caller, creation: JsonCreation
) -> JSONResponse:
    """Train an older version's recipe anew, without what was removed since and with what was corrected.

    The way back that undoes no erasure: the result is a new version, `preparing` until a worker has done it.
    """

    def effect(unit: Unit) -> Answer:
        line = visible_line(unit, actor, name)
        version = roll_forward(unit, name, body.version, actor=actor.id)
        read = version_read(unit, line, version)
        return Answer(202, read, f"/v1/adapters/{name}/versions/{read.version}")

    return creation.once(effect)
