"""`lethe retire`: a line goes, for good."""

from typing import Annotated

import typer

from service.cli.session import Session, talks_to_service
from service.cli.tables.adapters import lines_table
from service.domain.errors import InvalidInput


@talks_to_service
def retire(
    session: Session,
    name: Annotated[str, typer.Argument(help="The adapter line.")],
    *,
    reason: Annotated[str, typer.Option(help="Why it goes. The certificates quote it: name nobody.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask whether you are sure.")] = False,
) -> None:
    """Take a line out of service for good: versions withdrawn, aliases removed, keys of derived data destroyed."""
    if not yes and not _is_sure(name):
        raise InvalidInput("Nothing was retired.", fix="Answer y, or give --yes.")
    line = session.client.retire_adapter(name, reason)
    session.output.one(line, lines_table([line]))


def _is_sure(name: str) -> bool:
    try:
        return typer.confirm(f"Retire {name}, all its versions and aliases, for good?", err=True)
    except typer.Abort:
        return False
