"""Who is told of a request's status by the protocol that it came by."""

from urllib.parse import urlsplit

from fastapi import APIRouter

from service.api.auth import Caller
from service.api.context import InContext
from service.api.problems import problems
from service.api.routes.requests import RequestId
from service.api.schemas.status_callbacks import StatusCallbackList, StatusCallbackRead
from service.api.schemas.webhooks import AttemptRead
from service.api.views.requests import PATH
from service.api.visibility import visible_request
from service.store.tables import StatusCallback

router = APIRouter(prefix=PATH, tags=["requests"])


@router.get("/{request_id}/status-callbacks", responses=problems(404))
def list_status_callbacks(request_id: RequestId, context: InContext, actor: Caller) -> StatusCallbackList:
    """List who asked to be told of the request's status (OpenDSR, Data Rights Protocol), and what came of it."""
    with context.store.read() as unit:
        request = visible_request(unit, actor, request_id)
        return StatusCallbackList(items=[_read(row) for row in unit.callbacks.of_request(request.id)])


def _read(row: StatusCallback) -> StatusCallbackRead:
    return StatusCallbackRead(
        id=row.id,
        protocol=row.protocol,
        url=urlsplit(row.url)._replace(query="").geturl(),
        state=row.state,
        attempts=[AttemptRead.model_validate(attempt) for attempt in row.attempts],
        next_attempt_at=row.next_attempt_at,
        created_at=row.created_at,
    )
