"""Vectors: RFC 6979, appendix A.2.5 (the key and its signature), and what others read of it."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from service.domain.errors import Corrupted
from service.evidence.keys import jwks, public_keys
from service.evidence.model_keys import ModelSigner, pem
from service.evidence.sealing import Sealer

SCALAR = 0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721
X = "60FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6"
SIGNATURE_OF_SAMPLE = (
    0xEFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716,
    0xF7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8,
)


def test_signatures_are_those_of_rfc_6979() -> None:
    signer = ModelSigner.from_scalar(SCALAR)

    assert decode_dss_signature(signer.sign(b"sample")) == SIGNATURE_OF_SAMPLE


def test_the_public_key_says_the_same_in_both_forms() -> None:
    signer = ModelSigner.from_scalar(SCALAR)
    public = load_pem_public_key(pem(signer.jwk()))

    assert isinstance(public, ec.EllipticCurvePublicKey)
    assert f"{public.public_numbers().x:064X}" == X
    public.verify(signer.sign(b"x"), b"x", ec.ECDSA(SHA256()))


def test_a_key_set_says_what_kind_it_is_and_shows_nothing_private() -> None:
    signer = ModelSigner.generate()
    (key,) = jwks([signer.jwk()])["keys"]

    assert set(key) == {"kty", "crv", "x", "y", "kid", "use", "alg"}
    assert (key["kid"], key["alg"], len(key["x"]), len(key["y"])) == (signer.kid, "ES256", 43, 43)


def test_readers_of_statements_pass_it_over() -> None:
    assert public_keys(jwks([ModelSigner.generate().jwk()])) == []


def test_a_key_is_stored_sealed_and_signs_as_before() -> None:
    sealer, signer = Sealer(bytes(32)), ModelSigner.generate()

    sealed = signer.seal(sealer)
    loaded = ModelSigner.from_sealed(sealer, sealed.ciphertext, sealed.wrapped_key)

    assert loaded.kid == signer.kid
    assert loaded.sign(b"x") == signer.sign(b"x")
    with pytest.raises(Corrupted):
        ModelSigner.from_sealed(Sealer(bytes([1] * 32)), sealed.ciphertext, sealed.wrapped_key)
