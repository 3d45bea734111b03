"""What every provider refuses: a corpus of deliveries that prove nothing, or ask for nothing that can be done."""

import base64
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from service.domain.errors import InvalidInput, LetheError, NotFromSender, Unreadable
from service.domain.inbound import Provider
from service.flows.file_ask import Ask
from service.webhooks.inbound.delivery import Delivery
from service.webhooks.inbound.payload import MAX_DEPTH
from service.webhooks.inbound.provider import Ignored, Rules
from service.webhooks.inbound.registry import PROVIDERS
from tests.support import senders
from tests.support.senders import Asymmetric, Sent, Sombra

RULES = Rules(subject_kinds={})
ASYMMETRIC, SOMBRA, STRANGER = Asymmetric(), Sombra(), Sombra()
OTHER = "whsec_" + base64.b64encode(bytes(32)).decode()


@dataclass(frozen=True)
class Case:
    """A provider, the secret its endpoint has, and how its sender signs a payload."""

    provider: Provider
    secret: str
    sign: Callable[..., Sent]
    asks: dict[str, Any]
    proof: str


GENERIC: dict[str, Any] = senders.erasure("ada", request_id="1")
CASES = {
    "standard": Case(Provider.standard_webhooks, senders.SYMMETRIC, senders.standard, GENERIC, "webhook-signature"),
    "svix": Case(Provider.standard_webhooks, senders.SYMMETRIC, senders.by_svix, GENERIC, "svix-signature"),
    "ed25519": Case(Provider.standard_webhooks, ASYMMETRIC.secret, ASYMMETRIC.sign, GENERIC, "webhook-signature"),
    "transcend": Case(
        Provider.transcend, SOMBRA.secret, SOMBRA.sign, senders.transcend_job("ada", "email"), "x-sombra-token"
    ),
    "shopify": Case(
        Provider.shopify,
        senders.SHARED,
        senders.shopify,
        senders.shopify_redaction(id=7, email="ada@example.org"),
        "x-shopify-hmac-sha256",
    ),
    "segment": Case(Provider.segment, senders.SHARED, senders.segment, senders.segment_deletion("ada"), "x-signature"),
    "api_key": Case(
        Provider.api_key,
        senders.SHARED,
        senders.with_key,
        {"operation": "erase", "subject": "ada", "request_id": "1"},
        "x-api-key",
    ),
}
# A bearer key proves who sends, not what.
SIGNING = [name for name in CASES if name not in ("api_key", "transcend")]


def delivery(sent: Sent, at: datetime | None = None) -> Delivery:
    return Delivery(dict(sent.headers), sent.body, at or datetime.now(UTC))


def received(case: Case, sent: Sent, *secrets: str, at: datetime | None = None, rules: Rules = RULES) -> Ask | Ignored:
    provider, came = PROVIDERS[case.provider], delivery(sent, at)
    provider.verify(came, secrets or [case.secret])
    return provider.read(came, rules)


def refused(case: Case, sent: Sent, kind: type[LetheError] = NotFromSender, **how: Any) -> LetheError:
    with pytest.raises(kind) as found:
        received(case, sent, **how)
    assert "ada" not in f"{found.value.detail} {found.value.field} {found.value.fix} {found.value.extra}"
    return found.value


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


class TestProof:
    def test_what_the_sender_signs_is_read(self, case: Case) -> None:
        ask = received(case, case.sign(case.asks))
        assert isinstance(ask, Ask)
        (operation,) = ask.operations
        assert operation.type == "remove"

    def test_either_of_two_secrets_will_do(self, case: Case) -> None:
        spare = {Provider.standard_webhooks: OTHER, Provider.transcend: STRANGER.secret}.get(case.provider, "x" * 24)
        for secrets in ((spare, case.secret), (case.secret, spare)):
            assert isinstance(received(case, case.sign(case.asks), *secrets), Ask)
        with pytest.raises(NotFromSender):
            received(case, case.sign(case.asks), spare)

    def test_no_proof(self, case: Case) -> None:
        assert refused(case, case.sign(case.asks).without(case.proof)).field in (
            case.proof,
            case.proof.replace("svix", "webhook"),
        )

    @pytest.mark.parametrize(
        "proof", ["", " ", "v1,", "v1", ",", "v1,AAAA", "v2,AAAA", "a.b.c", "ß", "é" * 10, "Bearer"]
    )
    def test_a_proof_that_is_none(self, case: Case, proof: str) -> None:
        refused(case, case.sign(case.asks).with_header(case.proof, proof))

    @pytest.mark.parametrize("name", SIGNING)
    def test_one_bit_of_the_body_decides(self, name: str) -> None:
        case = CASES[name]
        sent = case.sign(case.asks)
        for position in range(0, len(sent.body), 7):
            body = bytearray(sent.body)
            body[position] ^= 1
            refused(case, sent.with_body(bytes(body)))
        for body_ in (b"", sent.body + b" ", sent.body[:-1]):
            refused(case, sent.with_body(body_))

    @pytest.mark.parametrize("name", ["standard", "svix"])
    def test_id_and_time_are_signed_too(self, name: str) -> None:
        case = CASES[name]
        prefix, sent = case.proof.removesuffix("-signature"), case.sign(case.asks, id_="msg_1")
        moment = sent.headers[f"{prefix}-timestamp"]
        refused(case, sent.with_header(f"{prefix}-id", "msg_2"))
        refused(case, sent.with_header(f"{prefix}-timestamp", str(int(moment) + 1)))
        refused(case, sent.with_header(f"{prefix}-timestamp", f"0{moment}"))
        for header in ("id", "timestamp"):
            refused(case, sent.without(f"{prefix}-{header}"))

    @pytest.mark.parametrize("id_", ["a.b", "a b", "x" * 121, "ä"])
    def test_an_id_that_could_be_cut_elsewhere(self, id_: str) -> None:
        case = CASES["standard"]
        refused(case, case.sign(case.asks).with_header("webhook-id", id_))

    def test_the_sender_may_rotate_its_keys_too(self) -> None:
        case = CASES["standard"]
        sent = case.sign(case.asks)
        good = sent.headers["webhook-signature"]
        several = sent.with_header("webhook-signature", f"v1,AAAA v1a,AAAA v9,x {good}")
        assert isinstance(received(case, several), Ask)
        flood = sent.with_header("webhook-signature", "v1,AAAA " * 1000 + good)
        refused(case, flood)

    def test_a_symmetric_proof_under_a_public_key_is_none(self) -> None:
        """Whoever knows the public key could make it."""
        forged = senders.standard(GENERIC, "whsec_" + ASYMMETRIC.secret.removeprefix("whpk_"))
        refused(CASES["ed25519"], forged)


class TestTime:
    @pytest.mark.parametrize("name", ["standard", "svix", "transcend"])
    @pytest.mark.parametrize("minutes", [-6, 6, 60 * 24 * 365])
    def test_five_minutes_either_way(self, name: str, minutes: int) -> None:
        case = CASES[name]
        stale = case.sign(case.asks, age=timedelta(minutes=minutes))
        assert refused(case, stale).code == "stale-timestamp"
        assert isinstance(received(case, stale, at=datetime.now(UTC) - timedelta(minutes=minutes)), Ask)

    @pytest.mark.parametrize("moment", ["", "soon", "1e9", "-1", "9" * 30, "1700000000.5"])
    def test_a_time_that_is_none(self, moment: str) -> None:
        body, key = b"{}", base64.b64decode(senders.SYMMETRIC.removeprefix("whsec_"))
        proof = base64.b64encode(hmac.digest(key, f"msg_1.{moment}.".encode() + body, "sha256")).decode()
        headers = {"webhook-id": "msg_1", "webhook-timestamp": moment, "webhook-signature": f"v1,{proof}"}
        assert refused(CASES["standard"], Sent(headers, body)).code == "stale-timestamp"


class TestTokens:
    def token(self, key: Any, algorithm: str, **claims: object) -> Sent:
        token = jwt.encode({"iat": datetime.now(UTC), **claims}, key, algorithm=algorithm)
        return SOMBRA.sign(CASES["transcend"].asks).with_header("x-sombra-token", token)

    def test_no_other_algorithm(self) -> None:
        case = CASES["transcend"]
        small = ec.generate_private_key(ec.SECP256R1())
        refused(case, self.token("x" * 48, "HS384"))
        refused(case, self.token(None, "none"))
        refused(case, self.token(small, "ES256"))
        refused(case, STRANGER.sign(case.asks))

    def test_a_token_that_has_expired_or_never_will(self) -> None:
        case = CASES["transcend"]
        expired = datetime.now(UTC) - timedelta(seconds=1)
        assert refused(case, self.token(SOMBRA.key, "ES384", exp=expired)).code == "stale-timestamp"
        for timeless in ({}, {"iat": True}, {"exp": 1e300}, {"iat": 2**38}, {"iat": -1}):
            token = jwt.encode(timeless, SOMBRA.key, algorithm="ES384")
            sent = SOMBRA.sign(case.asks).with_header("x-sombra-token", token)
            assert refused(case, sent).code == "stale-timestamp"

    def test_a_job_without_a_nonce_cannot_be_told_from_a_repetition(self) -> None:
        case = CASES["transcend"]
        refused(case, case.sign(case.asks).without("x-transcend-nonce"))


class TestPayload:
    @pytest.mark.parametrize(
        ("body", "code"),
        [
            (b"", "malformed-json"),
            (b"ada", "malformed-json"),
            (b"\xff\xfe", "malformed-json"),
            (b"[]", "malformed-json"),
            (b'"ada"', "malformed-json"),
            (b'{"a": NaN}', "malformed-json"),
            (b'{"a": 1', "malformed-json"),
            (b'{"type": "a", "type": "b"}', "duplicate-member"),
            (b'{"a":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}", "too-deep"),
            (b'{"a":' * 200_000 + b"1" + b"}" * 200_000, "too-deep"),
        ],
    )
    def test_what_is_no_json_object(self, case: Case, body: bytes, code: str) -> None:
        if case.sign in (senders.standard, senders.by_svix) and body == b"\xff\xfe":
            pytest.skip("these libraries sign text alone")
        assert refused(case, case.sign(body), Unreadable).code == code

    def test_just_deep_enough(self) -> None:
        nested: object = 1
        for _ in range(MAX_DEPTH - 3):
            nested = [nested]
        assert isinstance(received(CASES["standard"], senders.standard({**GENERIC, "more": nested})), Ask)

    @pytest.mark.parametrize(
        ("name", "payload", "code", "field"),
        [
            ("standard", {}, "invalid-input", "/type"),
            ("standard", {"type": "erasure.requested"}, "invalid-input", "/data"),
            ("standard", {"type": "erasure.requested", "data": "ada"}, "invalid-input", "/data"),
            ("standard", {"type": "erasure.requested", "data": {}}, "no-subject", "/data"),
            ("standard", senders.erasure([]), "no-subject", "/data"),
            ("standard", senders.erasure({"kind": "ada", "value": "x"}), "unknown-subject-kind", "/data/subject"),
            ("standard", senders.erasure({"kind": 1, "value": "x"}), "unknown-subject-kind", "/data/subject"),
            ("standard", senders.erasure(["x", {"kind": "ada"}]), "unknown-subject-kind", "/data/subject/1"),
            ("standard", senders.erasure({"kind": "email"}), "invalid-input", "/data/subject"),
            ("standard", senders.erasure({"kind": "email", "sha256": "x"}), "invalid-input", "/data/subject/sha256"),
            ("standard", senders.erasure(""), "invalid-input", "/data/subject/value"),
            ("standard", senders.erasure("\ud800"), "invalid-input", "/data/subject/value"),
            (
                "standard",
                senders.erasure("x", received_at="0001-01-01T00:00:00+23:00"),
                "invalid-input",
                "/data/received_at",
            ),
            ("standard", senders.erasure(1.5), "invalid-input", "/data/subject/value"),
            ("standard", senders.erasure("x", request_id="a b"), "invalid-input", "/data/request_id"),
            ("standard", senders.erasure("x", received_at="ada"), "invalid-input", "/data/received_at"),
            (
                "standard",
                senders.erasure("x", received_at="2026-01-01T00:00:00"),
                "invalid-input",
                "/data/received_at",
            ),
            ("standard", senders.erasure("x", regulation="§"), "invalid-input", "/data/regulation"),
            ("standard", {"type": "correction.requested", "data": {}}, "nothing-to-correct", "/data"),
            ("transcend", {"type": "ERASURE"}, "invalid-input", "/coreIdentifier"),
            ("transcend", senders.transcend_job("x", "shoe size"), "unknown-subject-kind", "/extras/profile/type"),
            ("shopify", senders.shopify_redaction(), "no-subject", "/"),
            ("shopify", {"customer": "ada", "orders_to_redact": []}, "invalid-input", "/customer"),
            ("segment", {"type": "delete", "userId": "ada"}, "invalid-input", "/messageId"),
            ("segment", {"type": "delete", "messageId": "1"}, "no-subject", "/"),
            ("api_key", {"subject": "ada"}, "invalid-input", "/operation"),
            ("api_key", {"operation": "erase", "subject": "ada"}, "no-delivery-id", "/request_id"),
        ],
    )
    def test_what_cannot_be_done(self, name: str, payload: dict[str, Any], code: str, field: str) -> None:
        found = refused(CASES[name], CASES[name].sign(payload), InvalidInput)
        assert (found.code, found.field) == (code, field)

    def test_numbers_are_identifiers(self) -> None:
        ask = received(CASES["standard"], senders.standard(senders.erasure(17)))
        assert isinstance(ask, Ask)
        assert json.loads(ask.operations[0].model_dump_json())["select"]["subject"][0]["value"] == "17"
