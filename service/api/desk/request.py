"""The page of one request, and the decisions that are taken on it."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from service.api.desk.filters import ADDRESS
from service.api.desk.forms import Fields, OwnFields, checked
from service.api.desk.offers import OFFERS
from service.api.desk.page import render, see
from service.api.desk.route import DeskRoute
from service.api.desk.story import story
from service.api.desk.visit import Visit, permitted
from service.api.schemas.requests import Acknowledgement, Extension, Hold, Rejection
from service.api.visibility import visible_request
from service.domain.clocks import end_of
from service.domain.decisions import MEANINGS
from service.domain.errors import LetheError, NotFound
from service.flows import decide
from service.flows.accept import accept
from service.store.database import Unit
from service.store.tables import UnlearningRequest

router = APIRouter(prefix=f"{ADDRESS}/{{request_id}}", route_class=DeskRoute, include_in_schema=False)

RequestId = Annotated[str, Path(max_length=48)]
Decision = Callable[[Unit, Visit, str, Fields], UnlearningRequest]


@router.get("")
def show_request(
    request: Request,
    request_id: RequestId,
    visit: Annotated[Visit, permitted("get_request")],
    done: Annotated[str, Query(max_length=20)] = "",
) -> Response:
    return _show(request, visit, request_id, done=OFFERS[done].done if done in OFFERS else _DONE.get(done))


def _show(
    request: Request,
    visit: Visit,
    request_id: str,
    *,
    done: str | None = None,
    error: LetheError | None = None,
    failed: str | None = None,
) -> Response:
    with visit.context.store.read() as unit:
        told = story(unit, visible_request(unit, visit.actor, request_id), visit)
    status = HTTPStatus.OK if error is None else error.status
    return render(
        request, "request.html", status=status, story=told, done=done, error=error, failed=failed, grounds=MEANINGS
    )


def _approve(unit: Unit, visit: Visit, request_id: str, _: Fields) -> UnlearningRequest:
    return decide.approve(unit, request_id, actor=visit.actor.id)


def _reject(unit: Unit, visit: Visit, request_id: str, fields: Fields) -> UnlearningRequest:
    given = checked(Rejection, {**_reason(fields), "reason_code": fields.text("reason_code")})
    code, reason = given.reason_code, given.reason
    return decide.reject(unit, visit.context.vault, request_id, actor=visit.actor.id, reason_code=code, reason=reason)


def _accept(unit: Unit, visit: Visit, request_id: str, fields: Fields) -> UnlearningRequest:
    reason = checked(Acknowledgement, _reason(fields)).reason
    return accept(unit, visit.context.vault, request_id, actor=visit.actor.id, reason=reason)


def _cancel(unit: Unit, visit: Visit, request_id: str, _: Fields) -> UnlearningRequest:
    return decide.cancel(unit, request_id, actor=visit.actor.id)


def _hold(unit: Unit, visit: Visit, request_id: str, fields: Fields) -> UnlearningRequest:
    reason = checked(Hold, _reason(fields)).reason
    return decide.hold(unit, request_id, actor=visit.actor.id, reason=reason)


def _release(unit: Unit, visit: Visit, request_id: str, _: Fields) -> UnlearningRequest:
    return decide.release(unit, request_id, actor=visit.actor.id)


def _extend(unit: Unit, visit: Visit, request_id: str, fields: Fields) -> UnlearningRequest:
    day, zone = fields.day("due_at"), visit.context.settings.zone
    given = checked(Extension, {**_reason(fields), "due_at": None if day is None else end_of(day, zone)})
    extension = decide.Extension(given.due_at, given.reason, zone)
    return decide.extend(unit, request_id, extension, actor=visit.actor.id)


def _retry(unit: Unit, visit: Visit, request_id: str, _: Fields) -> UnlearningRequest:
    return decide.retry(unit, request_id, actor=visit.actor.id)


def _reason(fields: Fields) -> dict[str, object]:
    return {"reason": fields.text("reason")}


_DECISIONS: dict[str, Decision] = {
    "approve": _approve,
    "reject": _reject,
    "accept": _accept,
    "cancel": _cancel,
    "hold": _hold,
    "release": _release,
    "extend": _extend,
    "retry": _retry,
}
_DONE = {"filed": "The request is filed, and its receipt signed."}


def _route(verb: str, decision: Decision) -> None:
    operation = OFFERS[verb].operation

    def decide_on_request(
        request: Request,
        request_id: RequestId,
        fields: OwnFields,
        visit: Annotated[Visit, permitted(operation)],
    ) -> Response:
        try:
            with visit.context.store.write() as unit:
                visible_request(unit, visit.actor, request_id)
                decision(unit, visit, request_id, fields)
        except NotFound:
            raise
        except LetheError as error:
            return _show(request, visit, request_id, error=error, failed=verb)
        return see(f"{ADDRESS}/{request_id}?done={verb}")

    router.add_api_route(f"/{verb}", decide_on_request, methods=["POST"], name=f"desk_{operation}")


for _verb, _decision in _DECISIONS.items():
    _route(_verb, _decision)
