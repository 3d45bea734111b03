"""OpenDSR 2.0 over HTTP: filed with an API key, acknowledged under the domain's certificate, followed, cancelled."""

import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from service.domain.errors import InvalidInput
from service.domain.scopes import Scope
from service.evidence.domain_certificate import DomainSigner
from tests.support.api import Api, assert_problem
from tests.support.domain_certificate import DOMAIN, Certified, certified
from tests.support.house import people

URL = "/opendsr/requests"


@pytest.fixture(scope="module")
def of_domain() -> Certified:
    return certified(rsa.generate_private_key(65537, 2048), DOMAIN)


@pytest.fixture
def api(sqlite_url: str, tmp_path: Path, of_domain: Certified) -> Iterator[Api]:
    certificate, key = tmp_path / "domain.pem", tmp_path / "domain.key"
    certificate.write_bytes(of_domain.certificate)
    key.write_bytes(of_domain.private)
    api = Api(
        tmp_path / "home", sqlite_url, opendsr_certificate=certificate, opendsr_key=key,
        opendsr_callback_hosts="controller.example desk.example 10.0.0.1",
    )  # fmt: skip
    api.line("bot", people(10))
    yield api
    api.store.close()


def request(value: str = "Person 1", kind: str = "email", form: str = "raw", **members: object) -> dict[str, object]:
    return {
        "regulation": "gdpr",
        "subject_request_id": str(uuid4()),
        "subject_request_type": "erasure",
        "submitted_time": "2026-01-31T15:00:00Z",
        "subject_identities": [{"identity_type": kind, "identity_value": value, "identity_format": form}],
        "api_version": "2.0",
        **members,
    }


def acknowledged(api: Api, response: httpx.Response, status: int) -> dict[str, object]:
    """The answer, once its signature is verified with the certificate that discovery names."""
    assert response.status_code == status, response.text
    discovery = api.client_of(None).get("/opendsr/discovery").json()
    pem = api.client_of(None).get(httpx.URL(discovery["processor_certificate"]).path)
    key = x509.load_pem_x509_certificate(pem.content).public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    assert response.headers["x-opendsr-processor-domain"] == DOMAIN
    signature = base64.b64decode(response.headers["x-opendsr-signature"])
    key.verify(signature, response.content, padding.PKCS1v15(), SHA256())
    answer: dict[str, object] = response.json()
    return answer


def test_an_erasure_is_filed_followed_and_answered(api: Api) -> None:
    body = request()
    sent = json.dumps(body).encode()
    answer = acknowledged(api, api.client.post(URL, content=sent), 201)
    assert base64.b64decode(str(answer["encoded_request"])) == sent
    assert answer["subject_request_id"] == body["subject_request_id"]
    assert answer["expected_completion_time"] == "2026-03-02T23:59:59Z"
    path = f"{URL}/{body['subject_request_id']}"
    status = acknowledged(api, api.client.get(path), 200)
    assert (status["request_status"], status["results_count"]) == ("pending", 2)
    with api.store.read() as unit:
        line = unit.lines.by_name("bot")
    assert line is not None
    claimed = api.claim_queued(line.id)
    assert acknowledged(api, api.client.get(path), 200)["request_status"] == "in_progress"
    refused = api.client.delete(path)
    assert_problem(refused, 400, "illegal-transition")
    assert refused.json()["error"]["code"] == 400
    api.answer(claimed)


def test_the_same_id_is_the_same_request(api: Api) -> None:
    body = request()
    first, again = (acknowledged(api, api.client.post(URL, json=body), 201) for _ in range(2))
    assert first == again
    other = api.client.post(URL, json={**body, "subject_identities": request("Person 2")["subject_identities"]})
    assert_problem(other, 400, "delivery-changed")


def test_a_pending_request_may_be_cancelled(api: Api) -> None:
    body = request()
    path = f"{URL}/{body['subject_request_id']}"
    api.client.post(URL, json=body)
    assert acknowledged(api, api.client.delete(path), 202)["subject_request_id"] == body["subject_request_id"]
    assert acknowledged(api, api.client.get(path), 200)["request_status"] == "cancelled"


@pytest.mark.parametrize("form", ["sha1", "md5", "sha256"])
def test_a_digest_finds_whom_it_is_of(api: Api, form: str) -> None:
    body = request(hashlib.new(form, b"person 1").hexdigest(), form=form)
    assert api.client.post(URL, json=body).status_code == 201
    status = api.client.get(f"{URL}/{body['subject_request_id']}").json()
    assert (status["request_status"], status["results_count"]) == ("pending", 2)


@pytest.mark.parametrize(
    ("urls", "code", "field"),
    [
        (["https://evil.example/x"], "callback-refused", "/status_callback_urls/0"),
        (["https://controller.example/x", "https://controller.example.evil.example/"], "callback-refused",
         "/status_callback_urls/1"),
        (["http://controller.example/x"], "scheme-refused", "/status_callback_urls/0"),
        (["https://controller.example@evil.example/"], "invalid-url", "/status_callback_urls/0"),
        (["https://10.0.0.1/x"], "address-refused", "/status_callback_urls/0"),
        (["x"], "invalid-url", "/status_callback_urls/0"),
        (["https://controller.example/"] * 11, "invalid-input", "/status_callback_urls"),
        ("https://controller.example/", "invalid-input", "/status_callback_urls"),
    ],
)  # fmt: skip
def test_callbacks_go_to_hosts_that_the_operator_named(api: Api, urls: object, code: str, field: str) -> None:
    assert_problem(api.client.post(URL, json=request(status_callback_urls=urls)), 400, code, field=field)


def test_callbacks_are_shown_with_the_request(api: Api) -> None:
    body = request(status_callback_urls=["https://controller.example/x?token=1", "https://desk.example/"] * 2)
    for _ in range(2):
        assert api.client.post(URL, json=body).status_code == 201
    (filed,) = api.client.get("/v1/unlearning-requests").json()["items"]
    callbacks = api.client.get(f"/v1/unlearning-requests/{filed['id']}/status-callbacks").json()["items"]
    assert [one["url"] for one in callbacks] == ["https://controller.example/x", "https://desk.example/"]
    assert {(one["protocol"], one["state"], len(one["attempts"])) for one in callbacks} == {("opendsr", "pending", 0)}


def test_nobody_found_is_completed_with_no_results(api: Api) -> None:
    body = request("eve@example.org")
    api.client.post(URL, json=body)
    status = acknowledged(api, api.client.get(f"{URL}/{body['subject_request_id']}"), 200)
    assert (status["request_status"], status["results_count"]) == ("completed", 0)


def test_discovery_offers_what_can_be_done(api: Api) -> None:
    discovery = api.client_of(None).get("/opendsr/discovery").json()
    assert discovery["supported_subject_request_types"] == ["erasure"]
    assert {"identity_type": "email", "identity_format": "sha256"} in discovery["supported_identities"]
    for identity in discovery["supported_identities"]:
        value = {"sha256": "a" * 64, "sha1": "a" * 40, "md5": "a" * 32}.get(identity["identity_format"], "eve")
        body = request(value, identity["identity_type"], identity["identity_format"])
        assert api.client.post(URL, json=body).status_code == 201


@pytest.mark.parametrize(
    ("members", "code", "field"),
    [
        ({"subject_request_id": "Jane"}, "invalid-input", "/subject_request_id"),
        ({"subject_request_id": "a7551968-d5d6-14b2-9831-815ac9017798"}, "invalid-input", "/subject_request_id"),
        ({"subject_request_type": "access"}, "unsupported", "/subject_request_type"),
        ({"submitted_time": "yesterday"}, "invalid-input", "/submitted_time"),
        ({"submitted_time": "2199-01-01T00:00:00Z"}, "received-in-future", "/received_at"),
        ({"regulation": None}, "invalid-input", "/regulation"),
        ({"subject_identities": []}, "invalid-input", "/subject_identities"),
        (request("Jane", "shoe size"), "unknown-subject-kind", "/subject_identities/0/identity_type"),
        (request("Jane", form="crc32"), "unsupported-identity-format", "/subject_identities/0/identity_format"),
        (request("Jane", form="sha256"), "invalid-input", "/subject_identities/0/sha256"),
        (request("a" * 64, form="md5"), "invalid-input", "/subject_identities/0/md5"),
    ],
)
def test_refusals_have_the_shape_of_the_specification(
    api: Api, members: dict[str, object], code: str, field: str
) -> None:
    response = api.client.post(URL, json={**request(), **members})
    document = assert_problem(response, 400, code, field=field)
    error = document["error"]
    assert isinstance(error, dict)
    assert (error["code"], error["message"]) == (400, document["detail"])
    assert error["errors"][0]["reason"] == code
    assert "Jane" not in response.text


def test_keys_and_scopes(api: Api) -> None:
    body = request()
    path = f"{URL}/{body['subject_request_id']}"
    assert_problem(api.client_of(None).post(URL, json=body), 401, "unauthenticated")
    assert_problem(api.client_with(Scope.requests_read).post(URL, json=body), 403, "missing-scope")
    assert api.client_with(Scope.requests_create).post(URL, json=body).status_code == 201
    elsewhere = api.client_with(Scope.requests_create, lines=["other"])
    assert_problem(elsewhere.post(URL, json=body), 404, "unknown-request")
    assert_problem(api.client_with(lines=["other"]).get(path), 404, "unknown-request")
    assert_problem(api.client.get(f"{URL}/{uuid4()}"), 404, "unknown-request")


def test_without_a_certificate_there_is_no_opendsr(sqlite_url: str, tmp_path: Path) -> None:
    api = Api(tmp_path / "home", sqlite_url)
    for path in ("/opendsr/discovery", "/opendsr/certificate.pem", f"{URL}/{uuid4()}"):
        assert_problem(api.client.get(path), 404, "opendsr-off")
    api.store.close()


class TestCertificate:
    def test_a_key_on_an_elliptic_curve_signs_too(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        own = certified(key, DOMAIN, "other.example")
        signer = DomainSigner(own.certificate, own.private)
        assert signer.domain == DOMAIN
        key.public_key().verify(base64.b64decode(signer.sign(b"answer")), b"answer", ec.ECDSA(SHA256()))

    def test_what_does_not_fit_is_refused_at_the_start(self, of_domain: Certified) -> None:
        other = certified(ec.generate_private_key(ec.SECP256R1()), DOMAIN)
        nameless = certified(ec.generate_private_key(ec.SECP256R1()))
        for certificate, key in (
            (b"", of_domain.private),
            (of_domain.certificate, b""),
            (of_domain.certificate, other.private),
            (nameless.certificate, nameless.private),
        ):
            with pytest.raises(InvalidInput) as refused:
                DomainSigner(certificate, key)
            assert refused.value.code == "invalid-certificate"
