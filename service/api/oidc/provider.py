"""Whose a token of the identity provider is: verified as RFC 9068 and the best practices of RFC 8725 ask for."""

import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jwt

from service.api.actor import Actor
from service.api.oidc.discovery import Discovery
from service.api.oidc.grants import Grant, read_grants
from service.api.oidc.key_set import ALGORITHMS, KeySet
from service.domain.errors import Forbidden, Unauthenticated
from service.egress.address import AddressPolicy
from service.flows.four_eyes import PERSON
from service.settings import Settings

# Clocks may differ by so much.
LEEWAY_S = 60
MAX_TOKEN_LENGTH = 8192
# Of what remains of the keyed hash: 160 bits.
_ID_DIGITS = 40
_REQUIRED = ["iss", "sub", "aud", "exp", "iat"]
# Tokens that are no identities, such as those of a logout, have types of their own.
_TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})

_REFUSALS: Mapping[type[Exception], tuple[str, str]] = {
    jwt.ExpiredSignatureError: ("token-expired", "The token has expired."),
    jwt.ImmatureSignatureError: ("token-not-yet-valid", "The token is not valid yet."),
    jwt.InvalidIssuerError: ("token-wrong-issuer", "The token is another issuer's."),
    jwt.InvalidAudienceError: ("token-wrong-audience", "The token is meant for somebody else."),
    jwt.MissingRequiredClaimError: ("token-lacks-claim", f"The token lacks one of {', '.join(_REQUIRED)}."),
    jwt.InvalidSignatureError: ("token-wrong-signature", "The token's signature is wrong."),
}


def looks_like_jwt(token: str) -> bool:
    """Whether this has the three parts of a signed JSON Web Token, which no API key of ours has."""
    return token.count(".") == 2


@dataclass(frozen=True, slots=True)
class Provider:
    """An issuer whose tokens are accepted. `pseudonym`: the keyed hash of an issuer and a subject."""

    issuer: str
    audience: str
    grants: Sequence[Grant]
    keys: KeySet
    pseudonym: Callable[[str, str], str]

    def actor(self, token: str) -> Actor:
        """Who holds the token. The id tells nobody who that is who does not have the key of the hash.

        Raises:
            Unauthenticated: the token proves nothing.
            Forbidden: no rule grants its holder anything.
            ProviderAway: the provider's keys cannot be had.
        """
        return self._granted(self._verified(token, self.audience))

    def signed_in(self, token: str, *, client_id: str, nonce: str) -> Actor:
        """Who signed in, by the id token that was made for it.

        Raises:
            Unauthenticated: the token proves nothing, or not this sign-in.
            Forbidden: no rule grants its holder anything.
            ProviderAway: the provider's keys cannot be had.
        """
        claims = self._verified(token, client_id)
        if claims.get("azp", client_id) != client_id:
            raise _refused(*_REFUSALS[jwt.InvalidAudienceError])
        if not hmac.compare_digest(str(claims.get("nonce")).encode(), nonce.encode()):
            raise _refused("token-wrong-nonce", "The token is another sign-in's.")
        return self._granted(claims)

    def _granted(self, claims: Mapping[str, Any]) -> Actor:
        id_ = PERSON + self.pseudonym(self.issuer, claims["sub"])[:_ID_DIGITS]
        for grant in self.grants:
            if grant.fits(claims):
                return grant.actor(id_)
        raise Forbidden(
            "Nothing is granted to the token's holder.", fix="Have a rule of LETHE_OIDC_GRANTS fit.", code="no-grant"
        )

    def _verified(self, token: str, audience: str) -> dict[str, Any]:
        header = _header(token)
        if header.get("alg") not in ALGORITHMS:
            raise _refused("token-wrong-algorithm", f"Tokens are to be signed by one of {', '.join(ALGORITHMS)}.")
        if str(header.get("typ", "JWT")).lower() not in _TYPES:
            raise _refused("token-wrong-type", "The token is of a type that tells no caller.")
        key = self.keys.key(header.get("kid"), header["alg"])
        if key is None:
            raise _refused("token-unknown-key", "The token names no key that its issuer has for its algorithm now.")
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=ALGORITHMS,
                audience=audience,
                issuer=self.issuer,
                leeway=LEEWAY_S,
                options={"require": _REQUIRED},
            )
        except (jwt.PyJWTError, ArithmeticError, RecursionError, TypeError, ValueError) as error:
            code, detail = _REFUSALS.get(type(error), ("malformed-token", "The token cannot be read."))
            raise _refused(code, detail) from error
        if not claims["sub"]:
            raise _refused(*_REFUSALS[jwt.MissingRequiredClaimError])
        return claims


def provider_of(settings: Settings, pseudonym: Callable[[str, str], str]) -> Provider | None:
    """The deployment's identity provider; None if it has none.

    Raises:
        InvalidInput: the issuer's URL or the file of grants cannot be used.
    """
    if settings.oidc_issuer is None or settings.oidc_audience is None or settings.oidc_grants is None:
        return None
    policy = AddressPolicy.of(settings)
    policy.check_url(settings.oidc_issuer, field="LETHE_OIDC_ISSUER")
    keys = KeySet(Discovery(settings.oidc_issuer, policy))
    return Provider(settings.oidc_issuer, settings.oidc_audience, read_grants(settings.oidc_grants), keys, pseudonym)


def _header(token: str) -> dict[str, Any]:
    try:
        if len(token) <= MAX_TOKEN_LENGTH:
            return jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, RecursionError):
        pass
    raise _refused("malformed-token", "The token cannot be read.")


def _refused(code: str, detail: str) -> Unauthenticated:
    return Unauthenticated(detail, fix="Get a new token from the identity provider.", code=code)
