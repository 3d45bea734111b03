"""Signing in at the identity provider: the authorization code flow with PKCE, state and nonce.

As OpenID Connect Core (section 3.1) and the best practices of RFC 9700 have it. The code comes through the browser;
it is worth nothing without the verifier and the state that only this browser's attempt holds, and the token that it
is exchanged for is verified like any other, with the attempt's nonce.
"""

import hmac
import logging
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, quote

from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749.parameters import (
    parse_authorization_code_response,
    prepare_grant_uri,
    prepare_token_request,
)
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from service.api.actor import Actor
from service.api.errors import ProviderAway
from service.api.oidc.discovery import FAILURES
from service.api.oidc.provider import Provider
from service.domain.errors import Unauthenticated
from service.settings import Settings

# How long a person may take at the provider.
PATIENCE_S = 600
_RANDOM_BYTES = 48

logger = logging.getLogger(__name__)


class SignInFailed(Unauthenticated):
    default_code = "sign-in-failed"
    title = "The sign-in did not work out"


@dataclass(frozen=True, slots=True)
class Attempt:
    """What a browser keeps while its person is at the provider. `until`: seconds since 1970."""

    state: str
    nonce: str
    verifier: str
    target: str
    until: float


@dataclass(frozen=True, slots=True)
class Client:
    """What this deployment is at the provider. Without a secret it is a public client."""

    id: str
    secret: str | None
    scope: str
    redirect_uri: str


@dataclass(frozen=True, slots=True)
class CodeFlow:
    provider: Provider
    client: Client

    def begin(self, target: str) -> tuple[str, Attempt]:
        """Where to send the browser, and what it keeps. `target`: where it goes in the end.

        Raises:
            ProviderAway: the provider does not answer.
        """
        state, nonce, verifier = (secrets.token_urlsafe(_RANDOM_BYTES) for _ in range(3))
        url: str = prepare_grant_uri(
            str(self._metadata()["authorization_endpoint"]),
            client_id=self.client.id,
            response_type="code",
            redirect_uri=self.client.redirect_uri,
            scope=self.client.scope,
            state=state,
            nonce=nonce,
            code_challenge=create_s256_code_challenge(verifier),
            code_challenge_method="S256",
        )
        return url, Attempt(state, nonce, verifier, target, time.time() + PATIENCE_S)

    def finish(self, query: str, attempt: Attempt) -> Actor:
        """Who came back, with this query string.

        Raises:
            SignInFailed: not this attempt's browser, too late, or the provider did not confirm it.
            Unauthenticated: the token that it confirmed it with is not good.
            Forbidden: no rule grants its holder anything.
            ProviderAway: the provider does not answer.
        """
        if time.time() > attempt.until:
            raise _failed("It took too long.")
        told = parse_qs(query)
        if not hmac.compare_digest(told.get("state", [""])[0].encode(), attempt.state.encode()):
            raise _failed("It was not begun in this browser.")
        # RFC 9207: an answer of another provider is not taken for this one's.
        if told.get("iss", [self.provider.issuer]) != [self.provider.issuer]:
            raise _failed("The answer is another provider's.")
        try:
            answer = parse_authorization_code_response(f"{self.client.redirect_uri}?{query}", attempt.state)
        except OAuth2Error as error:
            raise _failed("The identity provider did not confirm it.") from error
        token = self._exchange(answer["code"], attempt)
        return self.provider.signed_in(token, client_id=self.client.id, nonce=attempt.nonce)

    def _exchange(self, code: str, attempt: Attempt) -> str:
        """The id token that a code is worth."""
        endpoint = str(self._metadata()["token_endpoint"])
        own = None if self.client.secret is not None else self.client.id
        body = prepare_token_request(
            "authorization_code",
            code=code,
            redirect_uri=self.client.redirect_uri,
            code_verifier=attempt.verifier,
            client_id=own,
        )
        headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
        sent: dict[str, Any] = {"content": body, "headers": headers}
        if self.client.secret is not None:
            # RFC 6749, section 2.3.1: both are encoded first.
            sent["auth"] = (quote(self.client.id, safe=""), quote(self.client.secret, safe=""))
        try:
            return str(self.provider.keys.discovery.document("POST", endpoint, **sent)["id_token"])
        except FAILURES as error:
            logger.warning("a code could not be exchanged at the identity provider: %s", type(error).__name__)
            raise _failed("The identity provider did not confirm it.") from error

    def _metadata(self) -> Mapping[str, Any]:
        try:
            found = self.provider.keys.discovery.metadata()
            if "authorization_endpoint" in found and "token_endpoint" in found:
                return found
        except FAILURES as error:
            logger.warning("the identity provider cannot be read: %s", type(error).__name__)
        raise ProviderAway


def code_flow_of(settings: Settings, provider: Provider | None) -> CodeFlow | None:
    """How people sign in to the deployment's desk at its provider; None if they do not."""
    if provider is None or settings.oidc_client_id is None:
        return None
    secret = settings.oidc_client_secret
    client = Client(
        settings.oidc_client_id,
        None if secret is None else secret.get_secret_value(),
        settings.oidc_scope,
        f"{settings.url}/desk/sign-in/provider/callback",
    )
    return CodeFlow(provider, client)


def _failed(detail: str) -> SignInFailed:
    return SignInFailed(detail, fix="Sign in once more.")
