"""A new request: the form, then the plan of what it would do, and only then the request itself."""

from http import HTTPStatus
from typing import Annotated
from uuid import uuid4

from fastapi import APIRouter, Request, Response

from service.api.desk.filing import request_of
from service.api.desk.forms import Fields, OwnFields
from service.api.desk.page import render, see
from service.api.desk.route import DeskRoute
from service.api.desk.visit import Visit, permitted
from service.api.idempotency import Answer, Creation, idempotency_key_of
from service.api.routes.requests import submission
from service.api.schemas.plans import PlanRead
from service.api.schemas.requests import RequestCreate
from service.api.views.requests import PATH, plan_read, request_accepted
from service.domain.errors import LetheError
from service.domain.subjects import SubjectKind
from service.flows.plan import plan
from service.flows.submit import Submission, submit
from service.store.database import Unit

router = APIRouter(prefix="/desk/new", route_class=DeskRoute, include_in_schema=False)

MayPlan = Annotated[Visit, permitted("create_plan")]
MayFile = Annotated[Visit, permitted("create_request")]


@router.get("")
def show_form(request: Request, visit: MayPlan) -> Response:
    return _form(request, visit, Fields({}))


@router.post("")
def show_plan(request: Request, visit: MayPlan, fields: OwnFields) -> Response:
    """What it would do, beside the form, which can be changed. Nothing is filed."""
    if fields.text("change") is not None:
        return _form(request, visit, fields)
    try:
        command = _command(visit, request_of(fields, visit.context.settings.zone))
        with visit.context.store.read() as unit:
            planned = plan_read(plan(unit, visit.context.vault, command))
    except LetheError as error:
        return _form(request, visit, fields, error=error)
    return _form(request, visit, fields, planned=planned)


@router.post("/file")
def file_request(request: Request, visit: MayFile, fields: OwnFields) -> Response:
    """File what was planned. The form carries a key of its own, so that sending it twice files it once."""
    context, actor = visit.context, visit.actor
    try:
        body = request_of(fields, context.settings.zone)
        body_hash = context.vault.hashes.body(body.model_dump_json(exclude_none=True).encode())

        def effect(unit: Unit) -> Answer:
            filed = submit(unit, context.vault, _command(visit, body), actor=actor.id, body_hash=body_hash)
            return Answer(HTTPStatus.ACCEPTED, request_accepted(unit, filed), f"{PATH}/{filed.id}")

        key = idempotency_key_of(fields.text("once"))
        answer = Creation(context.store, actor.id, f"POST {router.prefix}", key, body_hash).once(effect)
    except LetheError as error:
        return _form(request, visit, fields, error=error)
    request_id = answer.headers["location"].removeprefix(f"{PATH}/")
    return see(f"/desk/requests/{request_id}?done=filed")


def _command(visit: Visit, body: RequestCreate) -> Submission:
    return submission(body, visit.actor, visit.context.settings.zone)


def _form(
    request: Request,
    visit: Visit,
    fields: Fields,
    *,
    error: LetheError | None = None,
    planned: PlanRead | None = None,
) -> Response:
    with visit.context.store.read() as unit:
        lines = [line.name for line in unit.lines.active() if visit.actor.sees(line.name)]
    return render(
        request,
        "new.html",
        status=HTTPStatus.OK if error is None else error.status,
        fields=fields,
        typed=fields.everything(),
        lines=lines,
        kinds=SubjectKind,
        error=error,
        plan=planned,
        once=uuid4().hex,
    )
