"""Data Rights Protocol 1.0: agents file, follow and revoke deletions. The API's base for them is `/drp`.

Who calls proves it by a bearer token, which an agent gets for a message that it signs, and by signing what it sends.
"""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Response, Security
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from service.api.context import InContext
from service.api.deliveries import RawBody
from service.api.drp_route import DrpRoute
from service.api.schemas.drp import DrpError, DrpNothing, DrpStatus, DrpToken
from service.domain.errors import LetheError, Unauthenticated
from service.egress.address import AddressPolicy
from service.webhooks.inbound.drp.receiver import Receiver

PATH = "/drp/v1/data-rights-request"

router = APIRouter(prefix="/drp/v1", tags=["drp"], route_class=DrpRoute)

_bearer = HTTPBearer(auto_error=False, scheme_name="drp_token", description="A Data Rights Protocol agent's token.")


async def _token(credentials: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]) -> str:
    if credentials is None:
        raise Unauthenticated(
            "The call carries no token.", fix="Send `Authorization: Bearer <token>` (POST /drp/v1/agent/{agent-id})."
        )
    return credentials.credentials


async def _receiver(context: InContext) -> Receiver:
    return Receiver(context.store, context.vault, AddressPolicy.of(context.settings), context.settings.zone)


async def _now() -> datetime:
    return datetime.now(UTC)


Token = Annotated[str, Depends(_token)]
InReceiver = Annotated[Receiver, Depends(_receiver)]
Now = Annotated[datetime, Depends(_now)]
RequestId = Annotated[str, Path(max_length=48, description="The request's id.", examples=["req_0192…"])]
AgentId = Annotated[str, Path(max_length=120, description="The agent's id in the service directory.")]


def _signed(what: str) -> dict[str, Any]:
    content = {"text/plain": {"schema": {"type": "string", "contentEncoding": "base64"}}}
    description = f"{what}, with its Ed25519 signature before it, in base64."
    return {"requestBody": {"required": True, "description": description, "content": content}}


# Whether there is something that is not the agent's is not told, so that no path leads to 404.
_ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"description": "Refused (section 3.06).", "model": DrpError},
    "5XX": {"description": "It did not work out, and may be sent again.", "model": DrpError},
}


@router.post(
    "/data-rights-request",
    response_model=DrpStatus,
    responses=_ERRORS,
    openapi_extra=_signed("An exercise (section 2.01)"),
)
def create_drp_request(body: RawBody, token: Token, receiver: InReceiver, now: Now) -> JSONResponse:
    """File a deletion. The same `agent-request-id` again, or without one the same message, is the same request."""
    return JSONResponse(receiver.exercise(token, body, now))


@router.get("/data-rights-request/{request_id}", response_model=DrpStatus, responses=_ERRORS)
def get_drp_request(request_id: RequestId, token: Token, receiver: InReceiver) -> JSONResponse:
    """Read how far a request of this agent is."""
    return JSONResponse(receiver.read(token, request_id))


@router.delete(
    "/data-rights-request/{request_id}",
    response_model=DrpStatus,
    responses=_ERRORS,
    openapi_extra=_signed("A revocation (section 2.04)"),
)
def revoke_drp_request(request_id: RequestId, body: RawBody, token: Token, receiver: InReceiver) -> JSONResponse:
    """Call a request of this agent off, as long as nothing of it is published. The reason is not kept."""
    return JSONResponse(receiver.revoke(token, request_id, body))


@router.post(
    "/agent/{agent_id}",
    response_model=DrpToken,
    responses={**_ERRORS, 403: {"description": "The message does not prove what it must."}},
    openapi_extra={**_signed("A pairing message (section 2.05)"), "security": []},
)
def pair_drp_agent(agent_id: AgentId, body: RawBody, receiver: InReceiver, now: Now) -> Any:
    """Get a bearer token for a signed message, which works once."""
    try:
        token = receiver.pair(agent_id, body, now)
    except LetheError as refusal:
        if refusal.status >= 500:
            raise
        return Response(status_code=403)
    return DrpToken(agent_id=agent_id, token=token)


@router.get("/agent/{agent_id}", responses=_ERRORS)
def get_drp_agent(agent_id: AgentId, token: Token, receiver: InReceiver) -> DrpNothing:
    """Learn whether the token is good."""
    receiver.check_token(agent_id, token)
    return DrpNothing()
