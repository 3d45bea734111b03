"""A domain's key, and its certificate from somebody else, as OpenDSR processors have them."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

DOMAIN = "processor.example"
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass(frozen=True)
class Certified:
    """A domain's key, and its certificate from somebody else."""

    key: PrivateKey
    certificate: bytes

    @property
    def private(self) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def certified(key: PrivateKey, *domains: str) -> Certified:
    authority, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    draft = (
        x509.CertificateBuilder()
        .subject_name(name(DOMAIN))
        .issuer_name(name("authority"))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=90))
    )
    if domains:
        draft = draft.add_extension(x509.SubjectAlternativeName([x509.DNSName(one) for one in domains]), False)
    return Certified(key, draft.sign(authority, SHA256()).public_bytes(Encoding.PEM))
