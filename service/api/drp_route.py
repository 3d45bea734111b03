"""Routes whose refusals have the form of the Data Rights Protocol (1.0, section 3.06)."""

import logging
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute

from service.api.problems import as_lethe_error
from service.api.schemas.drp import DrpError
from service.domain.errors import InvalidInput, LetheError, Unauthenticated

logger = logging.getLogger(__name__)

# An expired message stays expired; with any other failed proof, a new token or signature may help.
EXPIRED = "stale-timestamp"


class DrpRoute(APIRoute):
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_as_drp(request: Request) -> Response:
            try:
                return await handle(request)
            except RequestValidationError as error:
                return refused(as_lethe_error(error.errors(), error.body))
            except LetheError as error:
                return refused(error)

        return handle_as_drp


def refused(error: LetheError) -> Response:
    """The answer to what was wrong. Input that cannot be accepted is a bad request there."""
    status = 400 if isinstance(error, InvalidInput) else error.status
    if status >= 500:
        logger.error("%s: %s", error.code, error.detail)
    told = DrpError(
        code=str(status),
        message=" ".join(filter(None, (error.detail, error.fix))),
        fatal=400 <= status < 500 and (status != 401 or error.code == EXPIRED),
        problem=error.code,
        field=error.field,
    )
    headers = {"WWW-Authenticate": "Bearer"} if isinstance(error, Unauthenticated) else {}
    return JSONResponse(told.model_dump(), status, headers)
