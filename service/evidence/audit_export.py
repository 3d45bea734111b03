"""An exported audit chain: one row a line as JSON, then the chain's signed head.

The head makes a cut at the end visible. It cannot show that the whole file is an older export: its date can, and so
can a certificate that pins a later row.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from service.domain.errors import Corrupted, InvalidInput
from service.evidence.audit import GENESIS, Entry, Head, verify
from service.evidence.key_set import KeySet
from service.evidence.statements import AUDIT_HEAD
from service.evidence.verification import Finding, Verification, verify_envelope


@dataclass(frozen=True, slots=True)
class Export:
    """The rows, and the envelope of the signed head if there is one."""

    entries: Sequence[Entry]
    envelope: Mapping[str, Any] | None


def read_export(lines: Iterable[str]) -> Export:
    """Parse an export; blank lines are skipped.

    Raises:
        InvalidInput: a line is neither a row nor, as the last one, the head.
    """
    entries: list[Entry] = []
    envelope: Mapping[str, Any] | None = None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            document = json.loads(line)
            if envelope is not None:
                raise ValueError("a line after the head")
            if "envelope" in document:
                envelope = document["envelope"]
            else:
                entries.append(_entry(document))
        except (KeyError, TypeError, ValueError, RecursionError):
            raise InvalidInput(
                f"Line {number} is no row of an audit export.",
                fix="Export it anew with `lethe audit export`.",
                code="not-an-audit-export",
                extra={"line": number},
            ) from None
    return Export(entries, envelope)


def verify_export(export: Export, keys: KeySet) -> Verification:
    """Verify the head's signature, and that the rows are a whole chain that ends in it.

    Raises:
        Corrupted: the rows are not, or there is no head; the code says how, the position where.
    """
    if export.envelope is None:
        verify(export.entries)
        raise Corrupted(
            "The export does not end in a signed head, so rows may be missing at its end.",
            fix="Export it anew with `lethe audit export`.",
            code="audit-head-missing",
            extra={"position": len(export.entries)},
        )
    signed = verify_envelope(export.envelope, keys)
    if signed.holds and signed.statement is not None and signed.statement["predicateType"] != AUDIT_HEAD:
        return Verification((Finding("unknown-predicate", "What is signed at the end is no audit head."),), signed.key)
    if signed.holds:
        said = signed.predicate
        verify(export.entries, head=Head(int(said["position"]), int(said["seq"]), str(said["hash"])))
    return signed


def find_pin(entries: Sequence[Entry], certificate: Verification) -> Entry | None:
    """The row that a verified certificate pins; None if it was the first thing that ever happened.

    Raises:
        InvalidInput: the statement is no certificate.
        Corrupted: the chain does not have that row, or says that something else was issued as this certificate.
    """
    pin, said = certificate.predicate.get("audit"), certificate.predicate
    if certificate.kind != "certificate" or not isinstance(pin, dict):
        raise InvalidInput("The statement pins no audit row.", fix="Give a certificate.", code="not-a-certificate")
    _check_issue(entries, str(said.get("certificate")), certificate)
    found = next((entry for entry in entries if entry.hash == pin["hash"]), None)
    if found is not None or pin["hash"] == GENESIS:
        return found
    if not entries or entries[-1].seq < pin["seq"]:
        raise Corrupted(
            f"The export ends before row number {pin['seq']}, which the certificate pins.",
            fix="Export the chain anew.",
            code="audit-older-than-certificate",
            extra={"seq": pin["seq"]},
        )
    raise Corrupted(
        f"The chain does not hold the hash that the certificate pins as row number {pin['seq']}: it was rewritten.",
        fix="Compare with an earlier export or a backup up to that row.",
        code="audit-pin-missing",
        extra={"seq": pin["seq"]},
    )


def _check_issue(entries: Sequence[Entry], id_: str, certificate: Verification) -> None:
    """The chain says, too, which statement was issued under this id."""
    assert certificate.payload is not None, "the statement was read from it"
    digest = hashlib.sha256(certificate.payload).hexdigest()
    for position, entry in enumerate(entries, start=1):
        issued = _issued(entry)
        if issued.get("certificate") == id_ and issued.get("sha256", digest) != digest:
            raise Corrupted(
                f"The chain says that another statement was issued as {id_}.",
                fix="Fetch the certificate from the service again.",
                code="audit-certificate-differs",
                extra={"position": position, "seq": entry.seq},
            )


def _issued(entry: Entry) -> Mapping[str, object]:
    data = entry.row["data"]
    return data if entry.row["action"] == "certificate.issued" and isinstance(data, dict) else {}


def _entry(row: Mapping[str, Any]) -> Entry:
    at = datetime.fromisoformat(row["created_at"])
    if at.tzinfo is None or not isinstance(row["data"], dict):
        raise ValueError("no row of an export")
    return Entry.of(
        seq=int(row["seq"]), at=at, actor=row["actor"], action=row["action"], data=row["data"], hash_=row["hash"]
    )
