"""`lethe audit`: export the audit chain, and verify an export or the running service."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from service.cli.commands.verify import Keys
from service.cli.documents import read_envelope, trusted_keys
from service.cli.session import Session, talks_to_service
from service.domain.errors import Corrupted, InvalidInput
from service.evidence.audit import Entry
from service.evidence.audit_export import Export, find_pin, read_export, verify_export
from service.evidence.key_set import KeySet
from service.evidence.verification import Finding, verify_envelope

audit = typer.Typer(help="Export and verify the audit chain.", no_args_is_help=True)


@audit.command()
@talks_to_service
def export(
    session: Session,
    *,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Where to; default: standard output.")] = None,
) -> None:
    """Export the audit chain as JSON lines that end in its signed head."""
    if out is None:
        for line in session.client.export_audit_lines():
            typer.echo(line)
        return
    draft = out.with_name(f".{out.name}.partial")
    with draft.open("w", encoding="utf-8") as file:
        count = sum(bool(file.write(f"{line}\n")) for line in session.client.export_audit_lines())
    draft.replace(out)
    rows = max(count - 1, 0)
    session.output.value({"file": str(out), "rows": rows}, f"{rows} rows and the signed head are in {out}")


@audit.command()
@talks_to_service
def verify(
    session: Session,
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="An export; without it, the running service's chain.")
    ] = None,
    *,
    keys: Keys = None,
    certificate: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A certificate, whose pinned row must be in the chain.")
    ] = None,
) -> None:
    """Verify that nothing was altered, dropped, moved or cut off. With a file and --keys it talks to nobody."""
    trusted = trusted_keys(session, keys)
    exported = _read(session, file)
    try:
        head = verify_export(exported, trusted)
        pinned = None if certificate is None or not head.holds else _pinned(exported.entries, certificate, trusted)
    except Corrupted as broken:
        _refuse(session, broken)
    if not head.holds:
        _tell_findings(session, head.findings)
    count, issued = len(exported.entries), head.predicate.get("issued_at")
    pin = "" if pinned is None else f" The certificate pins row number {pinned.seq}, which is in it."
    session.output.value(
        {
            "verified": True,
            "rows": count,
            "head": dict(head.predicate),
            "pinned": None if pinned is None else pinned.seq,
        },
        f"Verified: {count} rows are a whole chain up to the head that was signed on {issued}.{pin}\n"
        "It shows that the rows were not changed since, not that what they say is true.",
    )


def _read(session: Session, file: Path | None) -> Export:
    if file is None:
        return read_export(session.client.export_audit_lines())
    try:
        with file.open(encoding="utf-8") as lines:
            return read_export(lines)
    except OSError as error:
        raise InvalidInput(
            f"{file} cannot be read: {error.strerror}.", field=str(file), code="unreadable-file"
        ) from error
    except UnicodeDecodeError:
        raise InvalidInput(f"{file} is not UTF-8.", field=str(file), code="not-an-audit-export") from None


def _pinned(entries: Sequence[Entry], certificate: Path, keys: KeySet) -> Entry | None:
    """The row that the certificate pins. One that does not verify pins nothing."""
    found = verify_envelope(read_envelope(certificate), keys)
    if not found.holds:
        first = found.findings[0]
        raise Corrupted(f"The certificate does not verify. {first.detail}", code=first.code)
    return find_pin(entries, found)


def _refuse(session: Session, broken: Corrupted) -> NoReturn:
    _tell_findings(session, [Finding(broken.code, broken.detail)], **broken.extra)


def _tell_findings(session: Session, findings: Sequence[Finding], **where: object) -> NoReturn:
    listed = [{"code": finding.code, "detail": finding.detail, **where} for finding in findings]
    told = "\n".join(f"  {finding.code}: {finding.detail}" for finding in findings)
    session.output.value({"verified": False, "findings": listed}, f"NOT VERIFIED\n{told}")
    session.end(is_success=False)
