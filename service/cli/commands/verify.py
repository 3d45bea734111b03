"""`lethe verify`: a certificate or receipt, with nothing but the published keys."""

from pathlib import Path
from typing import Annotated

import typer

from service.cli.documents import read_envelope, trusted_keys
from service.cli.session import Session, talks_to_service
from service.cli.verdict import tell
from service.domain.errors import InvalidInput
from service.evidence.verification import verify_envelope, with_files

Keys = Annotated[
    Path | None, typer.Option("--keys", metavar="JWKS", help="The key set, as saved from /.well-known/jwks.json.")
]


@talks_to_service
def verify(
    session: Session,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A certificate, receipt or refusal, as the API returns it.")
    ],
    *,
    adapter: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The adapter's files, to compare with what was certified."),
    ] = None,
    keys: Keys = None,
) -> None:
    """Verify a certificate or receipt. With --keys it talks to nobody."""
    found = verify_envelope(read_envelope(file), trusted_keys(session, keys))
    if adapter is not None:
        if not adapter.is_dir():
            raise InvalidInput(f"{adapter} is no directory.", field="--adapter", code="unreadable-file")
        if found.speaks_of_files:
            found = with_files(found, adapter)
        elif found.kind is not None:
            raise InvalidInput(f"A {found.kind} speaks of no files.", field="--adapter", fix="Leave it out.")
    tell(session.output, found, directory=adapter)
    session.end(is_success=found.holds)
