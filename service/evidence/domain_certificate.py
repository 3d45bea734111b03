"""A domain's X.509 certificate and its key, with which a processor signs what it answers (OpenDSR 2.0, section 4)."""

import base64
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from service.domain.errors import InvalidInput
from service.settings import Settings


class DomainSigner:
    """Signs bytes in a domain's name. `pem`: the certificate, and the chain that comes with it."""

    def __init__(self, pem: bytes, key: bytes) -> None:
        """Raises InvalidInput: these are no certificate of a domain and its RSA or EC key."""
        self.pem = pem
        try:
            certificate, private = x509.load_pem_x509_certificate(pem), load_pem_private_key(key, None)
            names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            self.domain = names.get_values_for_type(x509.DNSName)[0]
        except (ValueError, TypeError, IndexError, x509.ExtensionNotFound):
            raise _unfit("is not PEM, or names no domain") from None
        if not isinstance(private, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
            raise _unfit("is neither RSA nor on an elliptic curve")
        if private.public_key() != certificate.public_key():
            raise _unfit("does not belong to the key")
        self._private = private

    @classmethod
    def of(cls, settings: Settings) -> Self | None:
        """The signer of a deployment; None where OpenDSR is off.

        Raises:
            InvalidInput.
        """
        if settings.opendsr_certificate is None or settings.opendsr_key is None:
            return None
        return cls(settings.opendsr_certificate.read_bytes(), settings.opendsr_key.read_bytes())

    def headers(self, body: bytes) -> dict[str, str]:
        """What proves that the domain says this (sections 7.4 and 8.3)."""
        return {"X-OpenDSR-Processor-Domain": self.domain, "X-OpenDSR-Signature": self.sign(body)}

    def sign(self, body: bytes) -> str:
        """The signature of the body's SHA-256 digest, in base64."""
        if isinstance(self._private, rsa.RSAPrivateKey):
            signature = self._private.sign(body, padding.PKCS1v15(), SHA256())
        else:
            signature = self._private.sign(body, ec.ECDSA(SHA256()))
        return base64.b64encode(signature).decode()


def _unfit(why: str) -> InvalidInput:
    return InvalidInput(
        f"The OpenDSR certificate {why}.",
        field="LETHE_OPENDSR_CERTIFICATE",
        fix="Give the domain's certificate and its private key, both in PEM, without a passphrase.",
        code="invalid-certificate",
    )
