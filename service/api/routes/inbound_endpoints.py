"""Endpoints for privacy platforms."""

from typing import Annotated

from fastapi import APIRouter, Path, Response
from fastapi.responses import JSONResponse

from service.api.auth import Caller
from service.api.context import InContext
from service.api.idempotency import Answer, JsonCreation
from service.api.paging import InPages
from service.api.problems import problems
from service.api.routes import drp
from service.api.schemas.inbound import (
    InboundEndpointCreate,
    InboundEndpointCreated,
    InboundEndpointPage,
    InboundEndpointRead,
    InboundEndpointUpdate,
    InboundSecretCreate,
    InboundSecretRead,
)
from service.api.visibility import require_unbound
from service.domain.errors import InvalidInput
from service.domain.inbound import Provider
from service.flows import inbound_endpoints as flow
from service.store.database import Unit
from service.store.tables import InboundEndpoint
from service.webhooks.inbound.registry import SECRETS

PATH = "/v1/inbound-endpoints"

router = APIRouter(prefix=PATH, tags=["inbound"])

EndpointId = Annotated[str, Path(max_length=48, description="The endpoint's id.", examples=["inb_0192…"])]


@router.post("", status_code=201, response_model=InboundEndpointCreated, responses=problems(400, 404, 409, 413, 415))
def create_inbound_endpoint(
    body: InboundEndpointCreate, context: InContext, actor: Caller, creation: JsonCreation
) -> JSONResponse:
    """Make an endpoint that a privacy platform can send to."""
    require_unbound(actor)
    order = flow.EndpointOrder(**{name: getattr(body, name) for name in flow.EndpointOrder.__slots__})

    def effect(unit: Unit) -> Answer:
        secret = _checked(body.provider, body.secret)
        row = flow.create_endpoint(unit, context.vault, order, secret, actor=actor.id)
        return _created(unit, row, None if body.secret else secret)

    return creation.once(effect)


@router.get("", responses=problems(400))
def list_inbound_endpoints(context: InContext, actor: Caller, paging: InPages) -> InboundEndpointPage:
    """List endpoints, newest first."""
    require_unbound(actor)
    with context.store.read() as unit:
        page = unit.inbound.list(after=paging.position("inbound endpoints"), limit=paging.limit)
        items = [inbound_endpoint_read(unit, row) for row in page.items]
    return InboundEndpointPage(items=items, next_cursor=paging.after(page.next, "inbound endpoints"))


@router.get("/{endpoint_id}", responses=problems(404, 410))
def get_inbound_endpoint(endpoint_id: EndpointId, context: InContext, actor: Caller) -> InboundEndpointRead:
    """Read an endpoint. Secrets are never shown again."""
    require_unbound(actor)
    with context.store.read() as unit:
        return inbound_endpoint_read(unit, flow.find_endpoint(unit, endpoint_id))


@router.patch("/{endpoint_id}", responses=problems(400, 404, 410, 413, 415))
def update_inbound_endpoint(
    endpoint_id: EndpointId, body: InboundEndpointUpdate, context: InContext, actor: Caller
) -> InboundEndpointRead:
    """Change what a delivery means from now on."""
    require_unbound(actor)
    changes = body.model_dump(mode="json", exclude_unset=True)
    with context.store.write() as unit:
        row = flow.change_endpoint(unit, endpoint_id, changes, lines=body.lines, actor=actor.id)
        return inbound_endpoint_read(unit, row)


@router.delete("/{endpoint_id}", status_code=204, responses=problems(404, 410))
def delete_inbound_endpoint(endpoint_id: EndpointId, context: InContext, actor: Caller) -> Response:
    """Accept nothing more: later deliveries are answered 410. What was filed goes on."""
    require_unbound(actor)
    with context.store.write() as unit:
        flow.close_endpoint(unit, endpoint_id, actor=actor.id)
    return Response(status_code=204)


@router.post(
    "/{endpoint_id}/secrets",
    status_code=201,
    response_model=InboundEndpointCreated,
    responses=problems(400, 404, 410, 413, 415),
)
def create_inbound_secret(
    endpoint_id: EndpointId,
    context: InContext,
    actor: Caller,
    creation: JsonCreation,
    body: InboundSecretCreate | None = None,
) -> JSONResponse:
    """Accept another secret from now on. The one before stays good, older ones do not."""
    require_unbound(actor)
    given = None if body is None else body.secret

    def effect(unit: Unit) -> Answer:
        secret = _checked(flow.find_endpoint(unit, endpoint_id).provider, given)
        row = flow.add_secret(unit, context.vault, endpoint_id, secret, actor=actor.id)
        return _created(unit, row, None if given else secret)

    return creation.once(effect)


@router.delete("/{endpoint_id}/secrets/{secret_id}", status_code=204, responses=problems(404, 409, 410))
def delete_inbound_secret(
    endpoint_id: EndpointId,
    secret_id: Annotated[str, Path(max_length=48, description="The secret's id.", examples=["ins_0192…"])],
    context: InContext,
    actor: Caller,
) -> Response:
    """Accept a secret no longer."""
    require_unbound(actor)
    with context.store.write() as unit:
        flow.drop_secret(unit, endpoint_id, secret_id, actor=actor.id)
    return Response(status_code=204)


def _checked(provider: Provider, given: str | None) -> str:
    """The secret that was given, else a fresh one.

    Raises:
        InvalidInput: it cannot verify anything, or the provider makes its own.
    """
    kind = SECRETS[provider]
    secret = given or kind.new_secret()
    if secret is None:
        raise InvalidInput(
            "This provider makes its own secret or key.",
            field="/secret",
            fix="Give the secret, or the public key, that the provider shows you.",
            code="secret-required",
        )
    kind.check_secret(secret)
    return secret


def _created(unit: Unit, row: InboundEndpoint, secret: str | None) -> Answer:
    read = inbound_endpoint_read(unit, row).model_dump()
    created = InboundEndpointCreated.model_validate({**read, "secret": secret})
    return Answer(201, created, f"{PATH}/{row.id}", secrets=frozenset({"secret"}))


def inbound_endpoint_read(unit: Unit, row: InboundEndpoint) -> InboundEndpointRead:
    return InboundEndpointRead(
        id=row.id,
        provider=row.provider,
        name=row.name,
        path=drp.PATH if row.provider is Provider.drp else f"/v1/inbound/{row.provider}/{row.id}",
        lines=row.lines,
        subject_kinds=row.subject_kinds,
        erasure_types=row.erasure_types,
        regulation=row.regulation,
        agent_id=row.agent_id,
        business_id=row.business_id,
        callback_hosts=row.callback_hosts,
        secrets=[InboundSecretRead(id=one.id, created_at=one.created_at) for one in unit.inbound.secrets(row.id)],
        created_at=row.created_at,
    )
