"""One log line and one measurement a call. Query strings are left out: they may name people."""

import logging
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.metrics import Metrics

logger = logging.getLogger("service.api.access")


class Observe:
    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status, answered = time.perf_counter(), 500, None

        async def noted(message: Message) -> None:
            nonlocal status, answered
            if message["type"] == "http.response.start":
                status, answered = message["status"], time.perf_counter() - started
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            seconds = time.perf_counter() - started if answered is None else answered
            route = getattr(scope.get("route"), "path", "unknown")
            self._metrics.http.labels(scope["method"], route, str(status)).observe(seconds)
            logger.info("%s %s %d %.1f ms", scope["method"], route, status, seconds * 1000)
