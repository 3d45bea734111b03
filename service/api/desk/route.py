"""Routes of the desk answer people: what goes wrong is a page in words, and who is not signed in is asked to."""

from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from sqlalchemy.exc import DataError, OperationalError, TimeoutError

from service.api import problems
from service.api.desk.page import HEADERS, refusal, see
from service.api.desk.visit import NotSignedIn
from service.api.problems import as_lethe_error
from service.domain.errors import LetheError

SIGN_IN = "/desk/sign-in"


class DeskRoute(APIRoute):
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            try:
                response = await handle(request)
            except NotSignedIn:
                response = _to_sign_in(request)
            except LetheError as error:
                response = refusal(request, error)
            except RequestValidationError as error:
                response = refusal(request, as_lethe_error(error.errors(), None))
            except DataError:
                response = refusal(request, problems.unstorable())
            except (OperationalError, TimeoutError) as error:
                response = refusal(request, problems.database_away(error))
            for name, value in HEADERS.items():
                response.headers.setdefault(name, value)
            return response

        return handled


def _to_sign_in(request: Request) -> Response:
    """To the form and, from there, back to the page that was asked for."""
    if request.headers.get("accept", "").startswith("text/event-stream"):
        return Response(status_code=HTTPStatus.NO_CONTENT)  # an event source that is answered so gives up
    back = request.url.path if request.method == "GET" else "/"
    return see(SIGN_IN if back == "/" else f"{SIGN_IN}?{urlencode({'next': back})}")
