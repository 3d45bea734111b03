"""What a request would do."""

from fastapi import APIRouter

from service.api.auth import Caller
from service.api.context import InContext
from service.api.problems import problems
from service.api.routes.requests import submission
from service.api.schemas.plans import PlanRead
from service.api.schemas.requests import RequestCreate
from service.api.views.requests import plan_read
from service.flows.plan import plan

router = APIRouter(prefix="/v1/unlearning-plans", tags=["requests"])


@router.post("", responses=problems(400, 404, 409, 413, 415))
def create_plan(body: RequestCreate, context: InContext, actor: Caller) -> PlanRead:
    """Show what a request with this body would do. Changes nothing."""
    with context.store.read() as unit:
        return plan_read(plan(unit, context.vault, submission(body, actor, context.settings.zone)))
