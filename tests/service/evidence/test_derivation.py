import hmac

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from service.evidence.derivation import derive


def test_it_is_hkdf_sha256_of_rfc_5869_with_an_empty_salt() -> None:
    master_key = bytes(range(32))
    extracted = hmac.digest(bytes(32), master_key, "sha256")
    expanded = HKDFExpand(algorithm=SHA256(), length=32, info=b"lethe some purpose").derive(extracted)

    assert derive(master_key, "some purpose") == expanded


def test_every_purpose_has_its_own_key() -> None:
    assert derive(bytes(32), "a") != derive(bytes(32), "b")
