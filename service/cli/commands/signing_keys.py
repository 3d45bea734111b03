"""`lethe signing-keys`: list, replace and revoke the keys that sign statements and versions."""

from typing import Annotated

import typer

from service.cli.session import Session, talks_to_service
from service.cli.tables.keys import signing_keys_table
from service.domain.signing import KeyPurpose, RevocationReason

signing_keys = typer.Typer(help="List, rotate and revoke the signing keys.", no_args_is_help=True)


@signing_keys.command("list")
@talks_to_service
def list_(session: Session) -> None:
    """List the signing keys, newest first; the first one of each purpose signs."""
    keys = session.client.list_signing_keys()
    session.output.many(keys, signing_keys_table(keys))


@signing_keys.command()
@talks_to_service
def rotate(
    session: Session,
    *,
    purpose: Annotated[
        KeyPurpose, typer.Option(help="statements: receipts, certificates, audit heads. models: versions.")
    ] = KeyPurpose.statements,
) -> None:
    """Sign with a new key from now on. What the one before signed stays valid."""
    key = session.client.rotate_signing_key(purpose)
    session.output.one(key, signing_keys_table([key]))


@signing_keys.command()
@talks_to_service
def revoke(
    session: Session,
    kid: Annotated[str, typer.Argument(help="The key's id. Put -- before one that begins with a dash.")],
    *,
    reason: Annotated[
        RevocationReason,
        typer.Option(help="compromised: trust nothing it signed. withdrawn: trust what it signed until now."),
    ],
) -> None:
    """Publish that a key is not to be trusted any more. The one that signs is replaced first."""
    key = session.client.revoke_signing_key(kid, reason)
    session.output.one(key, signing_keys_table([key]))
