"""What signing keys are for, why one is revoked, and what that means for what it signed."""

from enum import StrEnum


class KeyPurpose(StrEnum):
    """What a key signs.

    `statements`: receipts, certificates and audit heads, with Ed25519. `models`: the files of versions, as OpenSSF
    model signing has it, with ECDSA on P-256, because its verifiers take keys on NIST curves and no others.
    """

    statements = "statements"
    models = "models"

    @property
    def key_type(self) -> str:
        """The `kty` of the public key as a JSON Web Key (RFC 7518, section 6.1; RFC 8037, section 2)."""
        return "OKP" if self is KeyPurpose.statements else "EC"


class RevocationReason(StrEnum):
    """What became of the private key.

    `compromised`: others may have it. They can write any date into a statement, so nothing that it signed is
    trusted any more, whatever date it bears. `withdrawn`: it is out of use, lost or destroyed, but nobody else
    had it. What it signed before is as good as ever, and a statement dated later is none of ours.
    """

    compromised = "compromised"
    withdrawn = "withdrawn"
