"""Bearer tokens of Data Rights Protocol agents, which say whose key a message is to be verified with."""

import secrets as random

from service.domain.errors import Forbidden, Unauthenticated
from service.domain.ids import new_id
from service.domain.inbound import MAX_TOKENS
from service.flows.vault import Vault
from service.store.database import Unit
from service.store.tables import InboundEndpoint

PREFIX = "lethe_drp_"
TOKEN_BYTES = 32


def issue_token(unit: Unit, vault: Vault, endpoint: InboundEndpoint, message: bytes) -> str:
    """A new token of an endpoint, for a pairing message that proved itself. Of those before, the newest stays good.

    Raises:
        Forbidden: the message has its token.
    """
    token = PREFIX + random.token_urlsafe(TOKEN_BYTES)
    values = {
        "id": new_id("tok"),
        "endpoint_id": endpoint.id,
        "token_hash": vault.hashes.api_key(token),
        "message_hash": vault.hashes.body(message),
        "created_at": unit.now,
    }
    if not unit.inbound.add_token(values):
        raise Forbidden("The message was used before.", fix="Sign a new one.", code="message-used")
    unit.audit(endpoint.id, "agent_token.created", endpoint=endpoint.id)
    return token


def endpoint_of_token(unit: Unit, vault: Vault, token: str) -> InboundEndpoint:
    """The endpoint in service that a token is for.

    Raises:
        Unauthenticated: there is none, or newer tokens took its place.
    """
    row = unit.inbound.token(vault.hashes.api_key(token))
    endpoint = None if row is None else unit.inbound.get(row.endpoint_id)
    if row is None or endpoint is None or endpoint.deleted_at is not None:
        raise Unauthenticated("The token is unknown.", fix="Get one with POST /drp/v1/agent/{agent-id}.")
    if row.id not in unit.inbound.newest_tokens(endpoint.id, MAX_TOKENS):
        raise Unauthenticated("The token was replaced.", fix="Use the newest one.", code="token-replaced")
    return endpoint
