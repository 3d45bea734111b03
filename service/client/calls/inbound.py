"""Endpoints that privacy platforms send to."""

from collections.abc import Mapping, Sequence
from typing import Any

from service.client.answers.common import Page
from service.client.answers.inbound import InboundEndpoint, NewInboundEndpoint
from service.client.call import Call, Json, One, new_key, nothing, path
from service.domain.inbound import Provider

ENDPOINTS = "/v1/inbound-endpoints"
ENDPOINT = f"{ENDPOINTS}/{{endpoint_id}}"


def create_inbound_endpoint(
    provider: Provider,
    name: str,
    *,
    secret: str | None = None,
    lines: Sequence[str] | None = None,
    subject_kinds: Mapping[str, str] | None = None,
    erasure_types: Sequence[str] | None = None,
    regulation: str | None = None,
    agent_id: str | None = None,
    business_id: str | None = None,
    callback_hosts: Sequence[str] | None = None,
    idempotency_key: str | None = None,
) -> Call[NewInboundEndpoint]:
    """Make an endpoint that a privacy platform can send to.

    Args:
        secret: what verifies deliveries; None: one is made, and shown this once.
        lines: adapter lines it may affect; None: all.
        subject_kinds: what the sender's names of identifiers are, beside those that the provider is known to use.
        erasure_types: types of events that ask for erasure, instead of the provider's own.
        agent_id, business_id: who asks whom, of the Data Rights Protocol alone.
        callback_hosts: hosts that its agent may have statuses sent to.
    """
    body = {
        "provider": provider,
        "name": name,
        "secret": secret,
        "lines": None if lines is None else list(lines),
        "subject_kinds": dict(subject_kinds or {}),
        "erasure_types": None if erasure_types is None else list(erasure_types),
        "regulation": regulation,
        "agent_id": agent_id,
        "business_id": business_id,
        "callback_hosts": None if callback_hosts is None else list(callback_hosts),
    }
    key = new_key(idempotency_key)
    return Call("POST", ENDPOINTS, One(NewInboundEndpoint), body=Json(body), idempotency_key=key)


def list_inbound_endpoints(*, cursor: str | None = None, limit: int | None = None) -> Call[Page[InboundEndpoint]]:
    """Endpoints, newest first."""
    return Call("GET", ENDPOINTS, One(Page[InboundEndpoint]), params={"cursor": cursor, "limit": limit})


def get_inbound_endpoint(endpoint_id: str) -> Call[InboundEndpoint]:
    """An endpoint. Secrets are never shown again."""
    return Call("GET", path(ENDPOINT, endpoint_id=endpoint_id), One(InboundEndpoint))


def update_inbound_endpoint(endpoint_id: str, changes: Mapping[str, Any]) -> Call[InboundEndpoint]:
    """Change what a delivery means from now on: members of what it was made with."""
    return Call("PATCH", path(ENDPOINT, endpoint_id=endpoint_id), One(InboundEndpoint), body=Json(dict(changes)))


def delete_inbound_endpoint(endpoint_id: str) -> Call[None]:
    """Accept nothing more. What was filed goes on."""
    return Call("DELETE", path(ENDPOINT, endpoint_id=endpoint_id), nothing)


def create_inbound_secret(
    endpoint_id: str, secret: str | None = None, *, idempotency_key: str | None = None
) -> Call[NewInboundEndpoint]:
    """Accept another secret from now on, made if it is not given. The one before stays good, older ones do not."""
    where = path(f"{ENDPOINT}/secrets", endpoint_id=endpoint_id)
    body, key = Json({"secret": secret}), new_key(idempotency_key)
    return Call("POST", where, One(NewInboundEndpoint), body=body, idempotency_key=key)


def delete_inbound_secret(endpoint_id: str, secret_id: str) -> Call[None]:
    """Accept a secret no longer."""
    where = path(f"{ENDPOINT}/secrets/{{secret_id}}", endpoint_id=endpoint_id, secret_id=secret_id)
    return Call("DELETE", where, nothing)
