"""Webhook endpoints, what was sent to them and what came of it, and sending it again."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from service.api.desk.forms import OwnFields
from service.api.desk.page import render, see
from service.api.desk.route import DeskRoute
from service.api.desk.visit import Visit, permitted
from service.api.paging import Paging
from service.api.views.webhooks import delivery_read, endpoint_read
from service.domain.errors import LetheError, NotFound
from service.domain.webhooks import DeliveryState
from service.flows.redeliver import resend
from service.flows.webhook_endpoints import find_endpoint

router = APIRouter(prefix="/desk/webhooks", route_class=DeskRoute, include_in_schema=False)

PAGE = 50

EndpointId = Annotated[str, Path(max_length=48)]


@router.get("")
def list_endpoints(
    request: Request,
    visit: Annotated[Visit, permitted("list_webhook_endpoints")],
    cursor: Annotated[str | None, Query(max_length=2000)] = None,
) -> Response:
    paging = Paging(visit.context.vault.sealer, visit.actor.id, cursor, PAGE)
    with visit.context.store.read() as unit:
        page = unit.webhooks.endpoints(after=paging.position("desk webhooks"), limit=paging.limit)
        endpoints = [endpoint_read(unit, endpoint) for endpoint in page.items]
    return render(request, "webhooks.html", endpoints=endpoints, older=paging.after(page.next, "desk webhooks"))


@router.get("/{endpoint_id}")
def show_endpoint(
    request: Request,
    endpoint_id: EndpointId,
    visit: Annotated[Visit, permitted("list_webhook_deliveries")],
    state: Annotated[str, Query(max_length=32)] = "",
    cursor: Annotated[str | None, Query(max_length=2000)] = None,
    done: Annotated[str, Query(max_length=20)] = "",
) -> Response:
    return _show(request, visit, endpoint_id, state=state, cursor=cursor, done=done == "resent")


@router.post("/{endpoint_id}/deliveries/{delivery_id}/resend")
def resend_delivery(
    request: Request,
    endpoint_id: EndpointId,
    delivery_id: Annotated[str, Path(max_length=48)],
    fields: OwnFields,
    visit: Annotated[Visit, permitted("resend_webhook_delivery")],
) -> Response:
    try:
        with visit.context.store.write() as unit:
            resend(unit, endpoint_id, delivery_id, actor=visit.actor.id)
    except NotFound:
        raise
    except LetheError as error:
        return _show(request, visit, endpoint_id, error=error)
    return see(f"{router.prefix}/{endpoint_id}?done=resent")


def _show(
    request: Request,
    visit: Visit,
    endpoint_id: str,
    *,
    state: str = "",
    cursor: str | None = None,
    done: bool = False,
    error: LetheError | None = None,
) -> Response:
    wanted = DeliveryState(state) if state in DeliveryState.__members__ else None
    filters = {"endpoint": endpoint_id, "state": wanted}
    paging = Paging(visit.context.vault.sealer, visit.actor.id, cursor, PAGE)
    with visit.context.store.read() as unit:
        endpoint = endpoint_read(unit, find_endpoint(unit, endpoint_id))
        after = paging.position("desk deliveries", filters)
        page = unit.webhooks.deliveries(endpoint_id, after=after, limit=paging.limit, state=wanted)
        deliveries = [delivery_read(delivery) for delivery in page.items]
    return render(
        request,
        "webhook.html",
        status=200 if error is None else error.status,
        endpoint=endpoint,
        deliveries=deliveries,
        wanted=wanted,
        states=DeliveryState,
        older=paging.after(page.next, "desk deliveries", filters),
        done=done,
        error=error,
    )
