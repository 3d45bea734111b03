"""Vectors: RFC 8032, section 7.1 (tests 1 to 3) and RFC 8037, appendix A."""

import pytest

from service.domain.errors import Corrupted, InvalidInput
from service.evidence.keys import Signer, jwks, public_keys, thumbprint
from service.evidence.sealing import Sealer

RFC_8032 = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd"
        "25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c"
        "387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594"
        "a7c15e9716ed28dc027beceea1ec40a",
    ),
]


@pytest.mark.parametrize(("seed", "public", "message", "signature"), RFC_8032)
def test_signatures_are_those_of_rfc_8032(seed: str, public: str, message: str, signature: str) -> None:
    signer = Signer.from_bytes(bytes.fromhex(seed))

    assert signer.sign(bytes.fromhex(message)).hex() == signature
    assert public_keys(jwks([signer.jwk()]))[0].public_bytes_raw().hex() == public


def test_the_public_key_and_its_thumbprint_are_those_of_rfc_8037() -> None:
    signer = Signer.from_bytes(bytes.fromhex(RFC_8032[0][0]))

    assert signer.jwk() == {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    assert signer.kid == thumbprint(signer.jwk()) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_a_key_set_names_every_key_and_shows_nothing_private() -> None:
    signers = [Signer.generate(), Signer.generate()]
    key_set = jwks(signer.jwk() for signer in signers)

    assert [key["kid"] for key in key_set["keys"]] == [signer.kid for signer in signers]
    for key in key_set["keys"]:
        assert set(key) == {"kty", "crv", "x", "kid", "use", "alg"}
        assert (key["use"], key["alg"]) == ("sig", "EdDSA")


def test_keys_of_other_kinds_in_a_set_are_passed_over() -> None:
    key_set = {"keys": [{"kty": "RSA", "n": "x", "e": "AQAB"}, Signer.generate().jwk()]}

    assert len(public_keys(key_set)) == 1


@pytest.mark.parametrize(
    "document", [{}, {"keys": ["x"]}, {"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}]}, {"keys": None}]
)
def test_documents_that_are_no_key_sets_are_refused(document: dict[str, list[dict[str, str]]]) -> None:
    with pytest.raises(InvalidInput):
        public_keys(document)


def test_a_key_is_stored_sealed_and_signs_as_before() -> None:
    sealer, signer = Sealer(bytes(32)), Signer.generate()

    sealed = signer.seal(sealer)
    loaded = Signer.from_sealed(sealer, sealed.ciphertext, sealed.wrapped_key)

    assert loaded.kid == signer.kid
    assert loaded.sign(b"x") == signer.sign(b"x")
    with pytest.raises(Corrupted):
        Signer.from_sealed(Sealer(bytes([1] * 32)), sealed.ciphertext, sealed.wrapped_key)
