"""How a verification is told: first whether it holds, then what is claimed and what is not."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from service.cli.output import Output
from service.evidence.plain_words import (
    Reading,
    read_audit_head,
    read_certificate,
    read_receipt,
    read_refusal,
    read_swap_receipt,
)
from service.evidence.statements import timestamp
from service.evidence.verification import Verification

_READERS: Mapping[str, Callable[..., Reading]] = {
    "certificate": read_certificate,
    "receipt": read_receipt,
    "refusal": read_refusal,
    "audit head": read_audit_head,
    "swap receipt": read_swap_receipt,
}


def tell(output: Output, found: Verification, *, directory: Path | None) -> None:
    """Print it. What does not hold is not repeated as a claim."""
    reading = _READERS[found.kind](found.predicate) if found.holds and found.kind else Reading((), ())
    output.value(_as_json(found, reading), "\n".join(_as_text(found, reading, directory)))


def _as_json(found: Verification, reading: Reading) -> dict[str, object]:
    return {
        "verified": found.holds,
        "kind": found.kind,
        "findings": [{"code": f.code, "detail": f.detail, "subject": f.subject} for f in found.findings],
        "key": None if found.key is None else found.key.kid,
        "files_compared": found.files,
        "claims": reading.claims,
        "does_not_claim": reading.limits,
        "remains": reading.remains,
        "destroyed": reading.destroyed,
        "statement": found.statement,
    }


def _as_text(found: Verification, reading: Reading, directory: Path | None) -> Iterator[str]:
    if not found.holds:
        yield f"NOT VERIFIED: do not rely on this {found.kind or 'statement'}."
        yield from (f"  {finding.code}: {finding.detail}" for finding in found.findings)
        return
    yield f"Verified: the {found.kind} is signed{_key(found)}, and nobody has changed it since."
    if found.speaks_of_files:
        yield _files(found, directory)
    yield from _section("It says:", reading.claims)
    yield from _section("It does not say:", reading.limits)
    yield from _section("When it was signed, these remained:", reading.remains)
    yield from _section("These were destroyed:", reading.destroyed)


def _key(found: Verification) -> str:
    assert found.key is not None, "a key made the signature that holds"
    key = found.key
    if key.revoked_at is not None:
        return f" by key {key.kid}, which was withdrawn later, on {timestamp(key.revoked_at)}"
    retired = "" if key.retired_at is None else f", which was retired on {timestamp(key.retired_at)}"
    return f" by key {key.kid}{retired}"


def _files(found: Verification, directory: Path | None) -> str:
    if directory is None:
        return "No files were compared; give the adapter's directory with --adapter."
    return f"All {found.files} files in {directory} are those it speaks of."


def _section(title: str, sentences: tuple[str, ...]) -> Iterator[str]:
    if sentences:
        yield f"\n{title}"
        yield from (f"  - {sentence}" for sentence in sentences)
