"""Signing keys over HTTP: rotated once a call, revoked for a reason, told in the key set, for unbound admins only."""

import pytest

from service.domain.scopes import Scope
from service.evidence.model_keys import pem
from tests.support.api import Api, assert_problem, removal
from tests.support.house import people

URL = "/v1/signing-keys"
PUBLIC = "/.well-known/jwks.json"
PEM = "/.well-known/model-signing.pem"


def published(api: Api, kind: str = "OKP") -> list[dict[str, object]]:
    keys: list[dict[str, object]] = api.client_of(None).get(PUBLIC).json()["keys"]
    return [key for key in keys if key["kty"] == kind]


def test_rotation_is_told_in_the_key_set(api_on_both: Api) -> None:
    api = api_on_both
    (first,) = published(api)
    response = api.client.post(f"{URL}/rotate")
    assert response.status_code == 201
    new, old = published(api)
    assert (new["kid"], old["kid"]) == (response.json()["kid"], first["kid"])
    assert new["lethe_retired_at"] is None
    assert old["lethe_retired_at"]
    assert old["lethe_revoked_at"] is old["lethe_revocation_reason"] is None
    listed = api.client.get(URL).json()["items"]
    assert [key["kid"] for key in listed if key["purpose"] == "statements"] == [new["kid"], old["kid"]]
    assert "ciphertext" not in listed[0]
    api.line("bot", people(4))
    receipt = api.client.post("/v1/unlearning-requests", json=removal("p0-0")).json()["receipt"]
    assert receipt["signatures"][0]["keyid"] == new["kid"]


def test_the_key_that_signs_versions_is_rotated_apart_and_published_as_pem(api_on_both: Api) -> None:
    api = api_on_both
    (statements,), (first,) = published(api), published(api, "EC")
    before = api.client_of(None).get(PEM)
    assert before.headers["content-type"] == "application/x-pem-file"
    response = api.client.post(f"{URL}/rotate", json={"purpose": "models"})
    assert (response.status_code, response.json()["purpose"]) == (201, "models")
    new, old = published(api, "EC")
    assert (new["kid"], old["kid"]) == (response.json()["kid"], first["kid"])
    assert (new["crv"], new["alg"]) == ("P-256", "ES256")
    assert [key["kid"] for key in published(api)] == [statements["kid"]]
    assert api.client_of(None).get(PEM).content == pem(new) != before.content == pem(old)


def test_revocation_is_told_with_its_reason_and_the_key_stays(api_on_both: Api) -> None:
    api = api_on_both
    (first,) = published(api)
    response = api.client.post(f"{URL}/{first['kid']}/revoke", json={"reason": "compromised"})
    assert response.status_code == 200
    assert response.json()["revocation_reason"] == "compromised"
    new, old = published(api)
    assert (old["kid"], old["lethe_revocation_reason"]) == (first["kid"], "compromised")
    assert old["lethe_revoked_at"]
    assert new["lethe_revoked_at"] is None
    actions = [row["action"] for row in api.client.get("/v1/audit").json()["items"]]
    assert actions[-2:] == ["signing_key.rotated", "signing_key.revoked"]


def test_the_same_call_twice_rotates_once(api: Api) -> None:
    headers = {"Idempotency-Key": "rotate-in-march"}
    first, second = (api.client.post(f"{URL}/rotate", headers=headers) for _ in range(2))
    assert first.json() == second.json()
    assert len(published(api)) == 2


def test_calls_that_cannot_be_met(api: Api) -> None:
    (key,) = published(api)
    path = f"{URL}/{key['kid']}/revoke"
    assert_problem(api.client.post(f"{URL}/nobody/revoke", json={"reason": "withdrawn"}), 404, "unknown-signing-key")
    assert_problem(api.client.post(path, json={"reason": "boredom"}), 422, "invalid-input", field="/reason")
    assert_problem(api.client.post(path, json={}), 422, "invalid-input", field="/reason")
    assert_problem(api.client.post(f"{URL}/rotate", json={"purpose": "x"}), 422, "invalid-input", field="/purpose")
    api.client.post(path, json={"reason": "compromised"})
    response = api.client.post(path, json={"reason": "withdrawn"})
    assert assert_problem(response, 409, "key-compromised", field="/reason")["fix"]


@pytest.mark.parametrize("call", ["list", "rotate", "revoke"])
def test_only_for_keys_that_manage_keys_everywhere(api: Api, call: str) -> None:
    others = api.client_with(*(scope for scope in Scope if scope is not Scope.keys_manage))
    bound = api.client_with(Scope.keys_manage, lines=["bot"])
    for client, code in ((others, "missing-scope"), (bound, "key-is-bound")):
        if call == "list":
            response = client.get(URL)
        elif call == "rotate":
            response = client.post(f"{URL}/rotate")
        else:
            response = client.post(f"{URL}/any/revoke", json={"reason": "withdrawn"})
        assert_problem(response, 403, code)
    assert len(published(api)) == 1
