"""`lethe down`: end what `lethe up` runs."""

import typer

from service.cli.home_lock import stop_holder
from service.cli.output import Output
from service.cli.session import REFUSED
from service.domain.errors import LetheError
from service.settings import Settings

# Beyond the grace period that each part is given, one after the other.
PATIENCE_S = 60.0


def down() -> None:
    """Stop the service that `lethe up` runs on this home (LETHE_HOME), and wait until it has ended."""
    settings = Settings()
    try:
        stopped = stop_holder(settings.home, patience_s=settings.stop_grace_s + PATIENCE_S)
    except LetheError as error:
        Output(as_json=False).refusal(error)
        raise typer.Exit(REFUSED) from error
    typer.echo(f"stopped; the data stay in {settings.home}" if stopped else f"nothing runs on {settings.home}")
