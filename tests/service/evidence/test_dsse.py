"""Vectors: the PAE example of the DSSE protocol and its parsing rules."""

import base64
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from service.domain.errors import Corrupted
from service.evidence import dsse
from service.evidence.keys import Signer, jwks, public_keys

KIND = "http://example.com/HelloWorld"


@pytest.fixture
def signer() -> Signer:
    return Signer.generate()


def trusted(*signers: Signer) -> list[Ed25519PublicKey]:
    return public_keys(jwks(signer.jwk() for signer in signers))


def test_the_encoding_of_the_protocols_example() -> None:
    assert dsse.pre_authentication_encoding(KIND, b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_lengths_count_bytes_and_the_encoding_is_unambiguous() -> None:
    assert dsse.pre_authentication_encoding("ü", b"") == b"DSSEv1 2 \xc3\xbc 0 "
    assert dsse.pre_authentication_encoding("a 1", b"b") != dsse.pre_authentication_encoding("a", b"1 b")


def test_an_envelope_has_the_protocols_members(signer: Signer) -> None:
    envelope = dsse.sign(b"hello world", payload_type=KIND, signer=signer)

    assert envelope["payload"] == "aGVsbG8gd29ybGQ="
    assert envelope["payloadType"] == KIND
    assert [set(signature) for signature in envelope["signatures"]] == [{"keyid", "sig"}]
    assert envelope["signatures"][0]["keyid"] == signer.kid


def test_a_signed_payload_comes_back(signer: Signer) -> None:
    envelope = dsse.sign(b"hello world", payload_type=KIND, signer=signer)

    assert dsse.verify(envelope, payload_type=KIND, keys=trusted(Signer.generate(), signer)) == b"hello world"


def test_one_good_signature_among_several_is_enough_and_key_ids_are_only_hints(signer: Signer) -> None:
    envelope = dsse.sign(b"hello world", payload_type=KIND, signer=signer)
    foreign = dsse.sign(b"hello world", payload_type=KIND, signer=Signer.generate())
    del envelope["signatures"][0]["keyid"]
    envelope["signatures"].insert(0, foreign["signatures"][0])

    assert dsse.verify(envelope, payload_type=KIND, keys=trusted(signer)) == b"hello world"


def test_url_safe_base64_is_understood(signer: Signer) -> None:
    payload = bytes(range(256))
    envelope = dsse.sign(payload, payload_type=KIND, signer=signer)
    envelope["payload"] = base64.urlsafe_b64encode(payload).decode()
    signature = base64.b64decode(envelope["signatures"][0]["sig"])
    envelope["signatures"][0]["sig"] = base64.urlsafe_b64encode(signature).decode()

    assert dsse.verify(envelope, payload_type=KIND, keys=trusted(signer)) == payload


def test_other_keys_payloads_and_types_do_not_verify(signer: Signer) -> None:
    envelope = dsse.sign(b"hello world", payload_type=KIND, signer=signer)
    for forged, keys in (
        (envelope, trusted(Signer.generate())),
        (envelope, []),
        ({**envelope, "payload": base64.b64encode(b"hello World").decode()}, trusted(signer)),
        ({**envelope, "signatures": []}, trusted(signer)),
    ):
        with pytest.raises(Corrupted) as caught:
            dsse.verify(forged, payload_type=KIND, keys=keys)
        assert caught.value.code == "bad-signature"
    with pytest.raises(Corrupted):
        dsse.verify({**envelope, "payloadType": "other"}, payload_type="other", keys=trusted(signer))
    with pytest.raises(Corrupted):
        dsse.verify(envelope, payload_type="other", keys=trusted(signer))


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"payload": "!", "payloadType": KIND, "signatures": []},
        {"payload": "", "payloadType": KIND},
        {"payload": 1, "payloadType": KIND, "signatures": []},
        {"payload": "", "payloadType": KIND, "signatures": [{}]},
        {"payload": "", "payloadType": KIND, "signatures": [{"sig": "ü"}]},
        {"payload": "", "payloadType": KIND, "signatures": 3},
    ],
)
def test_documents_that_are_no_envelopes_are_refused(signer: Signer, document: dict[str, Any]) -> None:
    with pytest.raises(Corrupted) as caught:
        dsse.verify(document, payload_type=KIND, keys=trusted(signer))

    assert caught.value.code == "not-an-envelope"
