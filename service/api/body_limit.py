"""Refuse bodies that are too large, before they are read where their length is declared."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.problems import problem, too_large

MAX_JSON_BYTES = 32 * 2**20
# Boundaries, part headers and the JSON parts beside the files.
_MULTIPART_OVERHEAD = 2**20
_JSON_LINES = ("application/x-ndjson", "application/jsonl")


class BodyLimit:
    """JSON may have `json_bytes`, anything else `upload_bytes`."""

    def __init__(self, app: ASGIApp, *, upload_bytes: int, json_bytes: int = MAX_JSON_BYTES) -> None:
        self._app, self._json, self._upload = app, json_bytes, upload_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        limit = self._limit(headers.get("content-type", "").lower())
        declared = headers.get("content-length", "")
        if declared.isdigit() and int(declared) > limit:
            await problem(too_large(limit))(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise too_large(limit)
            return message

        await self._app(scope, counted, send)

    def _limit(self, content_type: str) -> int:
        if content_type.startswith("multipart/"):
            return self._upload + _MULTIPART_OVERHEAD
        return self._upload if content_type.startswith(_JSON_LINES) else self._json
