"""`lethe up`: the whole service on this machine."""

import typer

from service.cli.output import Output
from service.cli.session import REFUSED
from service.domain.errors import LetheError
from service.settings import Settings


def up() -> None:
    """Run the whole service on this machine until Ctrl-C. Configured by LETHE_ variables."""
    from service.cli import stack  # the only command that needs the database layer, which is slow to import

    try:
        stack.up(Settings())
    except LetheError as error:
        Output(as_json=False).refusal(error)
        raise typer.Exit(REFUSED) from error
