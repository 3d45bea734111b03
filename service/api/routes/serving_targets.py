"""Inference servers that Lethe drives to the versions that aliases point at."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from fastapi.responses import JSONResponse

from service.api.auth import Caller
from service.api.context import InContext
from service.api.idempotency import Answer, JsonCreation
from service.api.paging import InPages
from service.api.problems import problems
from service.api.schemas.serving_targets import ServingTargetCreate, ServingTargetPage, ServingTargetRead
from service.api.views.serving_targets import target_read
from service.api.visibility import require_unbound
from service.domain.serving_limits import ServingLimits
from service.flows.serving_targets import ServingOrder, add_target, find_target, forget_target, leave_target
from service.settings import Settings
from service.store.database import Unit

PATH = "/v1/serving-targets"

router = APIRouter(prefix=PATH, tags=["serving targets"])

TargetId = Annotated[str, Path(max_length=48, description="The target's id.", examples=["srv_0192…"])]


def _order(body: ServingTargetCreate, settings: Settings) -> ServingOrder:
    return ServingOrder(
        name=body.name,
        kind=body.kind,
        urls=body.urls,
        lines=body.lines,
        alias=body.alias,
        mount=body.mount or str(settings.serving_dir),
        precision=body.precision,
        limits=ServingLimits(body.limits.max_lora_rank, body.limits.target_modules),
        api_key=None if body.api_key is None else body.api_key.get_secret_value(),
    )


@router.post("", status_code=201, response_model=ServingTargetRead, responses=problems(400, 404, 409, 413, 415))
def create_serving_target(
    body: ServingTargetCreate, context: InContext, actor: Caller, creation: JsonCreation
) -> JSONResponse:
    """Register servers. From now on each replica is driven to what the alias points at, and proven by its answers."""
    require_unbound(actor)
    order = _order(body, context.settings)

    def effect(unit: Unit) -> Answer:
        row = add_target(unit, context.vault, order, mounts=context.settings.mounts, actor=actor.id)
        return Answer(201, target_read(unit, row), f"{PATH}/{row.id}")

    return creation.once(effect)


@router.get("", responses=problems(400))
def list_serving_targets(context: InContext, actor: Caller, paging: InPages) -> ServingTargetPage:
    """List serving targets with their replicas, newest first."""
    require_unbound(actor)
    with context.store.read() as unit:
        page = unit.serving.targets(after=paging.position("serving-targets"), limit=paging.limit)
        items = [target_read(unit, row) for row in page.items]
    return ServingTargetPage(items=items, next_cursor=paging.after(page.next, "serving-targets"))


@router.get("/{target_id}", responses=problems(404))
def get_serving_target(target_id: TargetId, context: InContext, actor: Caller) -> ServingTargetRead:
    """Read a serving target: which version each replica shall serve, has, and was proven to serve."""
    require_unbound(actor)
    with context.store.read() as unit:
        return target_read(unit, find_target(unit, target_id))


@router.delete(
    "/{target_id}",
    status_code=202,
    response_class=Response,
    responses={204: {"description": "Forgotten."}, **problems(404)},
)
def delete_serving_target(
    target_id: TargetId,
    context: InContext,
    actor: Caller,
    forget: Annotated[
        bool, Query(description="At once, without asking the servers: for those that are gone for good.")
    ] = False,
) -> Response:
    """Have every replica unload the lines; then the target is gone. Repeating it changes nothing."""
    require_unbound(actor)
    with context.store.write() as unit:
        if forget:
            forget_target(unit, target_id, actor=actor.id)
            return Response(status_code=204)
        leave_target(unit, target_id, actor=actor.id)
    return Response(status_code=202)
