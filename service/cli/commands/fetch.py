"""`lethe fetch`: a version's files into a directory."""

from pathlib import Path
from typing import Annotated

import typer

from service.cli.session import Session, talks_to_service
from service.domain.errors import InvalidInput


@talks_to_service
def fetch(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME@VERSION", help="Such as support-bot@v2 or @production.")],
    directory: Annotated[Path, typer.Argument(file_okay=False, help="Gets the adapter in PEFT layout.")],
    *,
    signature: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Also gets the OpenSSF model signature, into this file.")
    ] = None,
) -> None:
    """Download a version; what is there already is not sent again."""
    adapter, at, version = name.partition("@")
    if not (adapter and at and version):
        raise InvalidInput(f"{name} names no version.", field="NAME@VERSION", fix=f"Write {adapter}@v2 or an alias.")
    fetched = session.client.fetch(adapter, version, directory)
    if signature is not None:
        signature.write_text(session.client.download_signature(adapter, fetched.version))
    session.output.value(
        {
            "version": f"{fetched.adapter}@{fetched.version}",
            "digest": fetched.digest,
            "directory": str(directory),
            "bytes_received": fetched.bytes_received,
        },
        f"{fetched.adapter}@{fetched.version} is in {directory} ({fetched.bytes_received} bytes received)",
    )
