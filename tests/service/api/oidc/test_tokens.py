"""Tokens of an identity provider: the good ones name a caller, and every way to be wrong has its own refusal."""

import base64
import json
import re
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import jwt
import pytest

from service.api.oidc import provider as module
from tests.support.api import Api, assert_problem, removal
from tests.support.house import people
from tests.support.oidc import AUDIENCE, Issuer, Signer, unsigned

Trusting = Callable[..., Api]
REQUESTS = "/v1/unlearning-requests"


@pytest.fixture
def api(trusting: Trusting, provider: Issuer) -> Api:
    return trusting(provider.url)


def call(api: Api, token: str, path: str = REQUESTS) -> httpx.Response:
    return api.client_of(token).get(path)


class TestGood:
    @pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
    def test_each_algorithm(self, api: Api, provider: Issuer, algorithm: str) -> None:
        signer = Signer.new("other", algorithm)
        provider.keys.append(signer.jwk())
        assert call(api, signer.sign(provider.claims())).status_code == 200

    def test_one_of_several_audiences(self, api: Api, provider: Issuer, signer: Signer) -> None:
        assert call(api, signer.sign(provider.claims(aud=["somebody", AUDIENCE]))).status_code == 200

    @pytest.mark.parametrize(("claim", "seconds"), [("nbf", -5), ("exp", -40), ("iat", 40), ("nbf", 40)])
    def test_clocks_that_differ_by_less_than_a_minute(
        self, api: Api, provider: Issuer, signer: Signer, claim: str, seconds: int
    ) -> None:
        token = signer.sign(provider.claims(**{claim: int(time.time()) + seconds}))
        assert call(api, token).status_code == 200

    @pytest.mark.parametrize("type_", ["JWT", "at+jwt", "application/at+jwt"])
    def test_types(self, api: Api, provider: Issuer, signer: Signer, type_: str) -> None:
        assert call(api, signer.sign(provider.claims(), typ=type_)).status_code == 200

    def test_one_without_a_key_id_of_an_only_key(self, api: Api, provider: Issuer, signer: Signer) -> None:
        token = jwt.encode(provider.claims(), signer.key, "RS256")
        assert call(api, token).status_code == 200

    def test_api_keys_go_on_working(self, api: Api) -> None:
        assert api.client.get(REQUESTS).status_code == 200


BAD: dict[str, tuple[str, Callable[[Issuer, Signer], str]]] = {
    "expired": ("token-expired", lambda p, s: s.sign(p.claims(exp=int(time.time()) - 61))),
    "issued in the future": ("token-not-yet-valid", lambda p, s: s.sign(p.claims(iat=int(time.time()) + 90))),
    "not valid yet": ("token-not-yet-valid", lambda p, s: s.sign(p.claims(nbf=int(time.time()) + 90))),
    "another issuer": ("token-wrong-issuer", lambda p, s: s.sign(p.claims(iss="https://evil.example"))),
    "a part of the issuer": ("token-wrong-issuer", lambda p, s: s.sign(p.claims(iss=p.url[:-1]))),
    "a list of issuers": ("token-wrong-issuer", lambda p, s: unchecked(s, p.claims(iss=[p.url]))),
    "another audience": ("token-wrong-audience", lambda p, s: s.sign(p.claims(aud="somebody"))),
    "a part of the audience": ("token-wrong-audience", lambda p, s: s.sign(p.claims(aud=AUDIENCE[:-1]))),
    **{
        f"without {claim}": ("token-lacks-claim", lambda p, s, claim=claim: s.sign(p.claims(**{claim: None})))
        for claim in ("iss", "sub", "aud", "exp", "iat")
    },
    "an empty subject": ("token-lacks-claim", lambda p, s: s.sign(p.claims(sub=""))),
    "a subject that is no text": ("malformed-token", lambda p, s: unchecked(s, p.claims(sub=["ann"]))),
    "an exp that is no number": ("malformed-token", lambda p, s: unchecked(s, p.claims(exp="soon"))),
    "an exp beyond all numbers": ("malformed-token", lambda p, s: unchecked(s, p.claims(exp=float("inf")))),
    "an exp that is not a number": ("malformed-token", lambda p, s: unchecked(s, p.claims(exp=float("nan")))),
    "claims that are a list": ("malformed-token", lambda p, s: jwt.PyJWS().encode(b"[1]", s.key, "RS256")),
    "claims that are no JSON": ("malformed-token", lambda p, s: jwt.PyJWS().encode(b"\xff", s.key, "RS256")),
    "signed by another key of that id": ("token-wrong-signature", lambda p, s: Signer.new(s.kid).sign(p.claims())),
    "a changed payload": ("token-wrong-signature", lambda p, s: changed_payload(s.sign(p.claims()))),
    "a cut signature": ("malformed-token", lambda p, s: s.sign(p.claims())[:-1]),
    "an unknown key": ("token-unknown-key", lambda p, s: Signer.new("nobody").sign(p.claims())),
    "no signature": ("token-wrong-algorithm", lambda p, s: unsigned(p.claims(), alg="none", kid=s.kid)),
    "none, spelt otherwise": ("token-wrong-algorithm", lambda p, s: unsigned(p.claims(), alg="nOnE", kid=s.kid)),
    "no algorithm": ("token-wrong-algorithm", lambda p, s: unsigned(p.claims(), kid=s.kid)),
    "an algorithm that is a list": ("token-wrong-algorithm", lambda p, s: unsigned(p.claims(), alg=["RS256"])),
    "the public key as a shared secret": ("token-wrong-algorithm", lambda p, s: swapped(p, s, "HS256")),
    "the same with another hash": ("token-wrong-algorithm", lambda p, s: swapped(p, s, "HS512")),
    "a weaker padding": (
        "token-wrong-algorithm",
        lambda p, s: jwt.encode(p.claims(), s.key, "RS512", headers={"kid": s.kid}),
    ),
    "another algorithm than its key's": (
        "token-unknown-key",
        lambda p, s: Signer.new(s.kid, "ES256").sign(p.claims()),
    ),
    "a logout token": ("token-wrong-type", lambda p, s: s.sign(p.claims(), typ="logout+jwt")),
    "an unknown critical header": ("malformed-token", lambda p, s: s.sign(p.claims(), crit=["x"], x=1)),
    "a deep header": ("malformed-token", lambda p, s: deep_header()),
    "no base64": ("malformed-token", lambda p, s: "a.b.c"),
    "nothing but dots": ("malformed-token", lambda p, s: ".."),
    "too long": ("malformed-token", lambda p, s: s.sign(p.claims(more="x" * module.MAX_TOKEN_LENGTH))),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_one(api: Api, provider: Issuer, signer: Signer, kind: str) -> None:
    code, make = BAD[kind]
    document = assert_problem(call(api, make(provider, signer)), 401, code)
    assert not re.search(r"\bann\b", json.dumps(document))


@pytest.mark.parametrize(
    "kid", ["../../etc/passwd", "' OR 1=1 --", "key-1\x00", "http://127.0.0.1/x", ["key-1"], {"a": 1}, 7]
)
def test_key_ids_are_looked_up_and_nothing_else(api: Api, provider: Issuer, signer: Signer, kid: object) -> None:
    """As they come from outside, they must not name files, rows or URLs (RFC 8725, section 3.10)."""
    token = tampered_header(signer.sign(provider.claims()), kid=kid)
    response = call(api, token)
    assert (response.status_code, response.json()["code"] in ("token-unknown-key", "malformed-token")) == (401, True)


def test_keys_that_a_token_brings_itself_are_not_used(api: Api, provider: Issuer, signer: Signer) -> None:
    own = Signer.new("own")
    for header in (
        {"jwk": own.jwk()},
        {"jku": f"{provider.url}/evil", "x5u": f"{provider.url}/evil"},
        {"x5c": ["MIIB"]},
    ):
        assert_problem(call(api, own.sign(provider.claims(), **header)), 401, "token-unknown-key")
        forged = replace(own, kid=signer.kid).sign(provider.claims(), **header)
        assert_problem(call(api, forged), 401, "token-wrong-signature")
    assert "/evil" not in provider.asked


def test_a_deployment_without_a_provider(sqlite_url: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    api = Api(tmp_path_factory.mktemp("home"), sqlite_url)
    assert_problem(call(api, unsigned({}, alg="none")), 401, "oidc-off")
    api.store.close()


class TestGrants:
    def test_the_scopes_of_the_rule_and_no_others(self, api: Api, provider: Issuer, signer: Signer) -> None:
        token = signer.sign(provider.claims())
        assert_problem(call(api, token, "/v1/runs"), 403, "missing-scope", scope="runs:read")

    def test_a_word_of_the_scope_claim(self, api: Api, provider: Issuer, signer: Signer) -> None:
        token = signer.sign(provider.claims(groups=None, scope="openid runs:read"))
        assert call(api, token, "/v1/runs").status_code == 200

    @pytest.mark.parametrize(
        "claims",
        [
            {"groups": ["privac"]},
            {"groups": "privacy-office"},
            {"groups": {"privacy": True}},
            {"groups": [["privacy"]]},
            {"groups": 7},
            {"groups": None},
            {"realm_access": "bot-team"},
            {"realm_access": {"roles": None}},
        ],
    )
    def test_nobody_without_a_rule(
        self, api: Api, provider: Issuer, signer: Signer, claims: dict[str, object]
    ) -> None:
        token = signer.sign(provider.claims(**{"groups": None, **claims}))
        assert_problem(call(api, token), 403, "no-grant")

    def test_a_rule_may_bind_to_lines(self, api: Api, provider: Issuer, signer: Signer) -> None:
        api.line("bot", people(4))
        api.line("other", people(4))
        client = api.client_of(signer.sign(provider.claims(groups=None, realm_access={"roles": ["bot-team"]})))
        assert [item["name"] for item in client.get("/v1/adapters").json()["items"]] == ["bot"]
        assert_problem(client.get("/v1/adapters/other"), 404, "unknown-adapter")
        assert_problem(client.get("/v1/keys"), 403, "key-is-bound")

    def test_the_first_rule_that_fits_counts(self, api: Api, provider: Issuer, signer: Signer) -> None:
        """Otherwise the scopes of one would go with the lines of another."""
        token = signer.sign(provider.claims(realm_access={"roles": ["bot-team"]}))
        assert_problem(call(api, token, "/v1/runs"), 403, "missing-scope")


class TestPeople:
    def test_no_trace_of_who_it_is(self, api: Api, provider: Issuer, signer: Signer) -> None:
        api.line("bot", people(6))
        subject = "ann.smith@example.com"
        client = api.client_of(signer.sign(provider.claims(sub=subject, email=subject)))
        assert client.post(REQUESTS, json=removal("p1-0")).status_code == 202
        (row,) = (row for row in api.client.get("/v1/audit").json()["items"] if row["action"] == "request.created")
        assert row["actor"].startswith("oidc:")
        assert len(row["actor"]) == len("oidc:") + 40
        told = api.client.get("/v1/audit").text + api.client.get(REQUESTS).text + api.client.get("/v1/events").text
        assert "smith" not in told

    def test_nobody_approves_what_they_filed_with_any_token(self, api: Api, provider: Issuer, signer: Signer) -> None:
        api.line("bot", people(6), require_approval=True)
        first, second, other = (
            api.client_of(signer.sign(provider.claims(sub=subject, jti=str(number))))
            for number, subject in enumerate(("ann", "ann", "bob"))
        )
        filed = api.submit_over(first, "p1-0")
        for client in (first, second):
            assert_problem(client.post(f"{REQUESTS}/{filed}/approve"), 403, "four-eyes")
        assert other.post(f"{REQUESTS}/{filed}/approve").json()["state"] == "queued"

    def test_nor_with_a_key_that_they_made_and_rotated(self, trusting: Trusting, provider: Issuer) -> None:
        signer = Signer.new("k")
        provider.keys = [signer.jwk()]
        api = trusting(provider.url)
        api.settings.oidc_grants.write_text(json.dumps([{"claim": "sub", "value": "ann", "scopes": "all"}]))  # type: ignore[union-attr]
        api.app = api.app_of()
        api.line("bot", people(6), require_approval=True)
        ann = api.client_of(signer.sign(provider.claims()))
        made = ann.post("/v1/keys", json={"name": "k", "scopes": ["requests:create", "requests:approve"]}).json()
        assert made["person"].startswith("oidc:")
        filed = api.submit_over(ann, "p1-0")
        token = ann.post(f"/v1/keys/{made['id']}/rotate").json()["token"]
        for key in (made["token"], token):
            assert_problem(api.client_of(key).post(f"{REQUESTS}/{filed}/approve"), 403, "four-eyes")
        assert api.client.post(f"{REQUESTS}/{filed}/approve").json()["state"] == "queued"

    def test_subjects_of_two_issuers_are_two_people(self, trusting: Trusting, provider: Issuer) -> None:
        api = trusting(provider.url)
        person = api.vault.hashes.person
        assert person(provider.url, "ann") != person("https://other.example", "ann")
        assert person("a", "bc") != person("ab", "c")


def unchecked(signer: Signer, claims: dict[str, Any]) -> str:
    """Signed although PyJWT would not have such claims."""
    return jwt.PyJWS().encode(json.dumps(claims).encode(), signer.key, signer.algorithm, headers={"kid": signer.kid})


def swapped(provider: Issuer, signer: Signer, algorithm: str) -> str:
    """Signed with HMAC under what everybody knows; PyJWT refuses to make such a token by its front door."""
    import hashlib
    import hmac

    header = {"alg": algorithm, "typ": "JWT", "kid": signer.kid}
    signed = ".".join(base64url(json.dumps(part).encode()) for part in (header, provider.claims()))
    digest = {"HS256": hashlib.sha256, "HS512": hashlib.sha512}[algorithm]
    return f"{signed}.{base64url(hmac.new(signer.pem(), signed.encode(), digest).digest())}"


def changed_payload(token: str) -> str:
    header, payload, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    return ".".join((header, base64url(json.dumps({**claims, "sub": "bob"}).encode()), signature))


def tampered_header(token: str, **members: object) -> str:
    header, payload, signature = token.split(".")
    changed = {**json.loads(base64.urlsafe_b64decode(header + "==")), **members}
    return ".".join((base64url(json.dumps(changed).encode()), payload, signature))


def deep_header() -> str:
    return f"{base64url(b'[' * 5000)}.e30.AAAA"


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
