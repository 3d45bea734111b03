"""Unlearning requests filed over HTTP, and what is signed about them."""

import json
from typing import Any

import httpx

from service.evidence import dsse
from service.evidence.keys import STATEMENT_TYPE, public_keys
from tests.support.api import Api

URL = "/v1/unlearning-requests"


def file(api: Api, body: dict[str, object]) -> httpx.Response:
    return api.client.post(URL, json=body)


def filed(api: Api, body: dict[str, object]) -> str:
    """The path of a new request."""
    response = file(api, body)
    assert response.status_code == 202, response.text
    return response.headers["location"]


def statement(api: Api, envelope: dict[str, Any]) -> dict[str, Any]:
    """What an envelope says, once its signature is verified with the published keys."""
    keys = public_keys(api.client_of(None).get("/.well-known/jwks.json").json())
    content: dict[str, Any] = json.loads(dsse.verify(envelope, payload_type=STATEMENT_TYPE, keys=keys))
    return content
