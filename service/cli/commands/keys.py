"""`lethe keys`: who may call, and what."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from service.cli.session import Session, talks_to_service
from service.cli.tables.keys import keys_table
from service.domain.scopes import Scope

keys = typer.Typer(help="List, make, rotate and revoke API keys.", no_args_is_help=True)

# `--key` is the one that calls.
KeyId = Annotated[str, typer.Argument(help="The key's id.", metavar="KEY")]


@keys.command("list")
@talks_to_service
def list_(session: Session) -> None:
    """List the keys, newest first, revoked ones too."""
    found = list(session.client.list_keys())
    session.output.many(found, keys_table(found))


@keys.command()
@talks_to_service
def create(
    session: Session,
    name: Annotated[str, typer.Argument(help="A name for people.", metavar="NAME")],
    *,
    scope: Annotated[list[Scope], typer.Option(help="What it may do. Several times.")],
    line: Annotated[
        list[str] | None, typer.Option(help="A line it is bound to; default: none. Several times.")
    ] = None,
    expires: Annotated[datetime | None, typer.Option(help="A moment in UTC when it stops working.")] = None,
) -> None:
    """Make a key. It is shown this once, and can do no more than the key that makes it."""
    until = None if expires is None else expires.replace(tzinfo=UTC)
    key = session.client.create_key(name, [str(one) for one in scope], lines=line or None, expires_at=until)
    session.output.one(key, keys_table([key]))


@keys.command()
@talks_to_service
def rotate(
    session: Session,
    key_id: KeyId,
    *,
    overlap_s: Annotated[
        int | None, typer.Option(help="For how many seconds what was sent before works too; default: a day.")
    ] = None,
) -> None:
    """Replace what is sent for a key. It is shown this once; the key's id and what it may do stay."""
    key = session.client.rotate_key(key_id, overlap_s=overlap_s)
    session.output.one(key, keys_table([key]))
    session.output.note(f"what was sent before works until {key.previous_until:%Y-%m-%d %H:%M} UTC")


@keys.command()
@talks_to_service
def revoke(session: Session, key_id: KeyId) -> None:
    """Refuse a key at once, and for good."""
    session.client.delete_key(key_id)
    session.output.note(f"revoked: {key_id}")
