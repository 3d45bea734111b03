"""Verify what the service signs without asking it anything."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from service.domain.errors import InvalidInput
from service.evidence.key_set import read_key_set
from service.evidence.verification import Verification, verify_envelope, with_files


def verify(envelope: Mapping[str, Any], keys: Mapping[str, Any], directory: Path | None = None) -> Verification:
    """Verify a certificate or any receipt, and the adapter's files in a directory if they are given.

    Args:
        envelope: a DSSE envelope, such as a certificate's.
        keys: the JSON Web Key Set that the service published, kept apart from its certificates.

    Raises:
        InvalidInput: that is no key set, or the statement speaks of no files.
        Corrupted: that is no envelope.
    """
    found = verify_envelope(envelope, read_key_set(keys))
    if directory is None or found.kind is None:
        return found
    if not found.speaks_of_files:
        raise InvalidInput(f"A {found.kind} speaks of no files.", field="directory", fix="Leave it out.")
    return with_files(found, directory)
