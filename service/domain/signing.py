"""Why a signing key is revoked, and what that means for what it signed."""

from enum import StrEnum


class RevocationReason(StrEnum):
    """What became of the private key.

    `compromised`: others may have it. They can write any date into a statement, so nothing that it signed is
    trusted any more, whatever date it bears. `withdrawn`: it is out of use, lost or destroyed, but nobody else
    had it. What it signed before is as good as ever, and a statement dated later is none of ours.
    """

    compromised = "compromised"
    withdrawn = "withdrawn"
