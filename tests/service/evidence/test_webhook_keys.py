"""Signatures of outgoing webhooks, verified by others."""

import base64
import time

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks import Webhook, WebhookVerificationError

from service.domain.errors import Corrupted
from service.domain.webhooks import SignatureScheme
from service.evidence.sealing import Sealer
from service.evidence.webhook_keys import WebhookKey

ID, BODY = "whd_0192", b'{"type":"request.state"}'
SEALER = Sealer(bytes(range(32)))


def headers(key: WebhookKey, now: int, body: bytes = BODY) -> dict[str, str]:
    return {"webhook-id": ID, "webhook-timestamp": str(now), "webhook-signature": key.sign(ID, now, body)}


class TestHmac:
    def test_the_reference_library_verifies_it(self) -> None:
        key = WebhookKey.generate(SignatureScheme.hmac)
        assert key.public is None
        assert key.shown_once is not None
        assert Webhook(key.shown_once).verify(BODY, headers(key, int(time.time()))) == {"type": "request.state"}

    @pytest.mark.parametrize("altered", [BODY.replace(b"state", b"statf"), BODY + b" ", b""])
    def test_it_refuses_what_was_altered(self, altered: bytes) -> None:
        key = WebhookKey.generate(SignatureScheme.hmac)
        with pytest.raises(WebhookVerificationError):
            Webhook(str(key.shown_once)).verify(altered, headers(key, int(time.time())))

    def test_it_refuses_what_another_secret_signed(self) -> None:
        one, other = (WebhookKey.generate(SignatureScheme.hmac) for _ in range(2))
        with pytest.raises(WebhookVerificationError):
            Webhook(str(one.shown_once)).verify(BODY, headers(other, int(time.time())))

    def test_the_example_of_the_specification(self) -> None:
        key = WebhookKey(SignatureScheme.hmac, base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))
        body = b'{"test": 2432232314}'
        signature = key.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
        assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


class TestEd25519:
    def test_it_verifies_with_the_public_key_and_the_secret_is_never_shown(self) -> None:
        key = WebhookKey.generate(SignatureScheme.ed25519)
        assert key.shown_once is None
        prefix, public = str(key.public)[:5], base64.b64decode(str(key.public)[5:])
        scheme, signature = key.sign(ID, 1674087231, BODY).split(",")
        assert (prefix, scheme) == ("whpk_", "v1a")
        verifier = Ed25519PublicKey.from_public_bytes(public)
        verifier.verify(base64.b64decode(signature), b"whd_0192.1674087231." + BODY)
        with pytest.raises(InvalidSignature):
            verifier.verify(base64.b64decode(signature), b"whd_0192.1674087232." + BODY)


@pytest.mark.parametrize("scheme", SignatureScheme)
class TestSealed:
    def test_it_comes_back(self, scheme: SignatureScheme) -> None:
        key = WebhookKey.generate(scheme)
        sealed = key.seal(SEALER, key_id="whs_1")
        assert key.secret not in sealed.ciphertext
        assert WebhookKey.from_sealed(SEALER, scheme, sealed, key_id="whs_1") == key

    def test_not_in_another_row_and_not_for_another_scheme(self, scheme: SignatureScheme) -> None:
        sealed = WebhookKey.generate(scheme).seal(SEALER, key_id="whs_1")
        (other,) = set(SignatureScheme) - {scheme}
        for as_scheme, row in ((scheme, "whs_2"), (other, "whs_1")):
            with pytest.raises(Corrupted):
                WebhookKey.from_sealed(SEALER, as_scheme, sealed, key_id=row)

    def test_a_representation_does_not_show_it(self, scheme: SignatureScheme) -> None:
        key = WebhookKey.generate(scheme)
        assert str(key.secret) not in repr(key)
