"""Verify a signed statement with nothing but published keys and, if there are any, the files it speaks of.

Nothing of the payload is read before a signature of a published key holds. What does not hold is a finding with a
code of its own, not an exception: a verifier wants to hear all of it.

    bad-signature       the envelope was altered, or is not signed by the key it names
    unknown-key         none of the keys it names is in the key set
    revoked-key         the key is revoked and does not vouch for it (`service.evidence.key_set`)
    unknown-statement   a signed payload that is no in-toto statement
    unknown-predicate   a statement of a kind that Lethe does not make
    digest-mismatch     a file is not the one that the statement speaks of
    missing-file        one that it speaks of is not there
    unexpected-file     one is there that it does not speak of
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from service.domain.signing import RevocationReason
from service.evidence import dsse
from service.evidence.key_set import KeySet, PublishedKey
from service.evidence.keys import STATEMENT_TYPE
from service.evidence.statements import AUDIT_HEAD, CERTIFICATE, RECEIPT, REFUSAL, STATEMENT, SWAP_RECEIPT, timestamp

KINDS: Mapping[str, str] = {
    CERTIFICATE: "certificate",
    RECEIPT: "receipt",
    REFUSAL: "refusal",
    AUDIT_HEAD: "audit head",
    SWAP_RECEIPT: "swap receipt",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that does not hold. `subject`: the file or key it is about."""

    code: str
    detail: str
    subject: str | None = None


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found. `payload`, `statement` and `key` are None unless a signature of a published key holds.

    `files`: how many files were compared and found to be those of the statement.
    """

    findings: tuple[Finding, ...]
    key: PublishedKey | None = None
    payload: bytes | None = None
    statement: Mapping[str, Any] | None = None
    files: int = 0

    @property
    def holds(self) -> bool:
        return not self.findings

    @property
    def kind(self) -> str | None:
        """`certificate`, `receipt`, `refusal`, `audit head` or `swap receipt`."""
        return None if self.statement is None else KINDS.get(str(self.statement.get("predicateType")))

    @property
    def speaks_of_files(self) -> bool:
        """Whether its subjects are the files of a version."""
        return self.kind in ("certificate", "swap receipt")

    @property
    def predicate(self) -> Mapping[str, Any]:
        found = (self.statement or {}).get("predicate")
        return found if isinstance(found, dict) else {}


def verify_envelope(envelope: Mapping[str, Any], keys: KeySet) -> Verification:
    """Verify a statement's signature, its type and the state of its key.

    Raises:
        Corrupted: this is no DSSE envelope around an in-toto statement.
    """
    parsed = dsse.parse(envelope, payload_type=STATEMENT_TYPE)
    # Of several keys that signed, one that still vouches counts.
    signers = sorted((k for k in keys.values() if parsed.signed_by(k.public)), key=lambda k: k.revoked_at is not None)
    if not signers:
        return Verification((_unsigned(parsed, keys),))
    statement = _statement(parsed.payload)
    if statement is None:
        return Verification((Finding("unknown-statement", "The signed payload is no in-toto statement."),), signers[0])
    found = Verification((), signers[0], parsed.payload, statement)
    if found.kind is None:
        what = "Lethe makes no statements of this kind, or this version of Lethe does not know it yet."
        return replace(found, findings=(Finding("unknown-predicate", what, str(statement.get("predicateType"))),))
    return replace(found, findings=tuple(_revoked(signers[0], issued_at(found.predicate))))


def with_files(found: Verification, directory: Path) -> Verification:
    """Compare a statement's subjects with the files below a directory as well; hidden files are passed over."""
    named = {name.partition("/")[2]: digest for name, digest in _subjects(found.statement)}
    present = {
        path.relative_to(directory).as_posix(): path
        for path in sorted(directory.rglob("*"))
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(directory).parts)
    }
    findings = list(found.findings)
    for name, digest in named.items():
        if name not in present:
            findings.append(Finding("missing-file", f"{name} is not in {directory}.", name))
        elif _sha256(present[name]) != digest:
            findings.append(Finding("digest-mismatch", f"{name} is not the file that was certified.", name))
    findings.extend(
        Finding("unexpected-file", f"{name} is there, but the certificate does not speak of it.", name)
        for name in sorted(present.keys() - named.keys())
    )
    return replace(found, findings=tuple(findings), files=len(named.keys() & present.keys()))


def issued_at(predicate: Mapping[str, Any]) -> datetime | None:
    """When a statement says that it was made."""
    try:
        moment = datetime.fromisoformat(predicate["issued_at"])
    except (KeyError, TypeError, ValueError):
        return None
    return None if moment.tzinfo is None else moment


def _unsigned(parsed: dsse.Parsed, keys: KeySet) -> Finding:
    """Why no signature holds. Key ids are hints that nobody signed, but an honest envelope names its key."""
    named = [kid for kid, _ in parsed.signatures if kid is not None]
    unknown = [kid for kid in named if kid not in keys]
    if named and len(unknown) == len(parsed.signatures):
        detail = f"It names the key {unknown[0]}, which is not in the key set."
        return Finding("unknown-key", detail, unknown[0])
    detail = "No key of the key set made the signature: the envelope was altered after it was signed, or is forged."
    return Finding("bad-signature", detail, named[0] if named else None)


def _statement(payload: bytes) -> Mapping[str, Any] | None:
    try:
        statement = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    if not isinstance(statement, dict) or statement.get("_type") != STATEMENT:
        return None
    return statement


def _revoked(key: PublishedKey, issued: datetime | None) -> Iterator[Finding]:
    if key.vouches_for(issued):
        return
    assert key.revoked_at is not None, "a key that is not revoked vouches for all it signed"
    when = timestamp(key.revoked_at)
    if key.reason is RevocationReason.withdrawn:
        told = f"was withdrawn on {when}, and the statement does not say that it was made before."
    else:
        told = (
            f"was revoked on {when} because others may have it. Whoever has it can date a statement back, so none "
            "is trusted, whatever date it bears."
        )
    yield Finding("revoked-key", f"The key {key.kid} {told}", key.kid)


def _subjects(statement: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    for subject in (statement or {}).get("subject", ()):
        yield str(subject.get("name")), str((subject.get("digest") or {}).get("sha256"))


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
