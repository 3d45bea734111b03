"""`lethe policy`: how a line answers requests."""

import json
from typing import Annotated

import typer

from service.cli.session import Session, talks_to_service
from service.cli.tables.adapters import policy_table
from service.domain.errors import InvalidInput


@talks_to_service
def policy(
    session: Session,
    name: Annotated[str, typer.Argument(help="The adapter line.")],
    changes: Annotated[
        list[str] | None, typer.Argument(metavar="[SETTING=VALUE]...", help="What to change: out_of_fold=true.")
    ] = None,
) -> None:
    """Show a line's policy, or change settings of it."""
    wanted = dict(_setting(change) for change in changes or ())
    line = session.client.update_adapter(name, wanted) if wanted else session.client.get_adapter(name)
    session.output.one(line, policy_table(line))


def _setting(given: str) -> tuple[str, object]:
    """A number, `true`, `false` or `null` is what it says; everything else is text. The service checks it."""
    setting, equals, value = given.partition("=")
    if not equals:
        raise InvalidInput(f"{given} sets nothing.", fix="Write SETTING=VALUE.")
    try:
        return setting, json.loads(value)
    except ValueError:
        return setting, value
