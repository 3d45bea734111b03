"""Tell every answer's caller what is left of its limits."""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.limits import quota_headers


class QuotaHeaders:
    """Writes the headers of what `authenticate` left in the state of the call."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start" and "quotas" in state:
                MutableHeaders(scope=message).update(quota_headers(state["quotas"]))
            await send(message)

        await self._app(scope, receive, told)
