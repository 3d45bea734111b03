"""The body of a delivery: read once, as it came, and no more of it than a delivery may have."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader

from service.api.problems import too_large
from service.webhooks.inbound.delivery import Delivery
from service.webhooks.inbound.payload import MAX_BYTES

_signature = APIKeyHeader(
    name="webhook-signature",
    auto_error=False,
    scheme_name="inbound_signature",
    description="Proof that an endpoint's sender sent this body: the header and its meaning are the provider's.",
)


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BYTES:
            raise too_large(MAX_BYTES)
    return bytes(body)


RawBody = Annotated[bytes, Depends(_body)]


async def _delivery(request: Request, body: RawBody, _: Annotated[str | None, Security(_signature)]) -> Delivery:
    return Delivery(dict(request.headers), body, datetime.now(UTC))


Delivered = Annotated[Delivery, Depends(_delivery)]
