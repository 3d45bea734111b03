"""An identity provider's documents (OpenID Connect Discovery), over connections that the address policy allows."""

import json
from collections.abc import Mapping
from typing import Any

import httpx

from service.domain.errors import InvalidInput
from service.egress.address import AddressPolicy
from service.egress.transport import guarded_client

DEADLINE_S = 5.0
MAX_BYTES = 2**20
# What can go wrong while a document is read: nobody answers, or what is answered is no such document.
FAILURES = (httpx.HTTPError, httpx.InvalidURL, InvalidInput, ValueError, LookupError, TypeError, RecursionError)


class Discovery:
    """Reads from one issuer. Threads may share it."""

    def __init__(self, issuer: str, policy: AddressPolicy) -> None:
        self.issuer = issuer
        self._policy = policy
        self._client = guarded_client(policy, deadline_s=DEADLINE_S)

    def metadata(self) -> Mapping[str, Any]:
        """The issuer's own description. Raises one of FAILURES."""
        found = self.document("GET", f"{self.issuer.rstrip('/')}/.well-known/openid-configuration")
        if found.get("issuer") != self.issuer:
            raise ValueError("the document is another issuer's")
        return found

    def document(self, method: str, url: str, **sent: Any) -> Mapping[str, Any]:
        """The object that is answered. `sent`: as httpx takes it. Raises one of FAILURES."""
        self._policy.check_url(url, field="LETHE_OIDC_ISSUER")
        body = b""
        with self._client.stream(method, url, **{"headers": {"Accept": "application/json"}, **sent}) as response:
            if response.status_code != httpx.codes.OK:
                raise ValueError("it was refused")
            for piece in response.iter_bytes():
                body += piece
                if len(body) > MAX_BYTES:
                    raise ValueError("it is too long")
        document = json.loads(body)
        if not isinstance(document, dict):
            raise ValueError("it is no object")
        return document
