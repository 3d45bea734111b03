"""An authorised agent of the Data Rights Protocol: PyNaCl, the library that the specification names, signs."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from fastapi.testclient import TestClient
from nacl.encoding import Base64Encoder
from nacl.signing import SigningKey

from tests.support.api import Api

AGENT, BUSINESS = "PERMISSION_SLIP", "ACME_LTD"
REQUESTS = "/drp/v1/data-rights-request"


class Agent:
    """`send` and `pair` say what the specification says, but for the members that are given; None leaves one out."""

    def __init__(self, name: str = AGENT, business: str = BUSINESS) -> None:
        self.name, self.business = name, business
        self.key = SigningKey.generate()
        self.token: str | None = None

    @property
    def verify_key(self) -> str:
        return self.key.verify_key.encode(Base64Encoder).decode()

    def signed(self, message: object) -> bytes:
        raw = message if isinstance(message, bytes) else json.dumps(message).encode()
        return bytes(self.key.sign(raw, Base64Encoder))

    def claims(self, **members: Any) -> dict[str, Any]:
        now = datetime.now(UTC)
        claims = {
            "agent-id": self.name,
            "business-id": self.business,
            "issued-at": (now - timedelta(seconds=1)).isoformat(),
            "expires-at": (now + timedelta(minutes=10)).isoformat(),
            "drp.version": "1.0",
            **members,
        }
        return {member: value for member, value in claims.items() if value is not None}

    def deletion(self, email: str | None = "Person 1", **members: Any) -> dict[str, Any]:
        asked = {"exercise": "deletion", "regime": "ccpa", "relationships": ["customer"]}
        person = {"name": "Jane", "email": email, "email_verified": True}
        return self.claims(**{**asked, **person, **members})

    def register(self, api: Api, **members: Any) -> str:
        """An endpoint for the agent; returns its id."""
        parties = {"agent_id": self.name, "business_id": self.business, "secret": self.verify_key}
        body = {"provider": "drp", "name": "agent", **parties, **members}
        response = api.client.post("/v1/inbound-endpoints", json=body)
        assert response.status_code == 201, response.text
        return str(response.json()["id"])

    def pair(self, api: Api, **members: Any) -> httpx.Response:
        response = self.post(api, f"/drp/v1/agent/{self.name}", self.signed(self.claims(**members)))
        if response.status_code == 200:
            self.token = response.json()["token"]
        return response

    def send(self, api: Api, message: object) -> httpx.Response:
        return self.post(api, REQUESTS, self.signed(message))

    def post(self, api: Api, path: str, body: bytes) -> httpx.Response:
        return self.client(api).post(path, content=body, headers={"Content-Type": "text/plain"})

    def read(self, api: Api, request_id: str) -> httpx.Response:
        return self.client(api).get(f"{REQUESTS}/{request_id}")

    def revoke(self, api: Api, request_id: str, message: object) -> httpx.Response:
        return self.client(api).request("DELETE", f"{REQUESTS}/{request_id}", content=self.signed(message))

    def client(self, api: Api) -> TestClient:
        return api.client_of(self.token)


def altered(body: bytes, position: int) -> bytes:
    """A signed body with one bit of it turned."""
    raw = bytearray(base64.b64decode(body))
    raw[position] ^= 1
    return base64.b64encode(bytes(raw))
