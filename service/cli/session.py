"""What every command that talks to the service has in common: where it is, the key, how to print."""

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any, NoReturn

import typer
from pydantic import ValidationError

from service.cli.output import Output
from service.client import Lethe
from service.client.drivers import DEFAULT_URL
from service.domain.errors import InvalidInput, LetheError

DONE, FAILED, REFUSED = 0, 1, 2

Url = Annotated[str, typer.Option("--url", envvar="LETHE_URL", help="Where the service is.")]
Key = Annotated[str | None, typer.Option("--key", envvar="LETHE_API_KEY", help="The API key.", show_envvar=True)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]

_COMMON = {
    "url": inspect.Parameter("url", inspect.Parameter.KEYWORD_ONLY, default=DEFAULT_URL, annotation=Url),
    "key": inspect.Parameter("key", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Key),
    "as_json": inspect.Parameter("as_json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=AsJson),
}


class Session:
    """A connection and a printer."""

    def __init__(self, client: Lethe, output: Output) -> None:
        self.client = client
        self.output = output

    def end(self, *, is_success: bool) -> NoReturn:
        """Exit with the code that says whether what was asked for happened."""
        raise typer.Exit(DONE if is_success else FAILED)


def talks_to_service(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command `--url`, `--key` and `--json`, and a Session as its first argument.

    A refusal is printed and ends with exit code 2.
    """

    @functools.wraps(command)
    def wrapped(*arguments: Any, url: str, key: str | None, as_json: bool, **options: Any) -> None:
        output = Output(as_json=as_json)
        try:
            with Lethe(url, key) as client:
                command(Session(client, output), *arguments, **options)
        except LetheError as refusal:
            output.refusal(refusal)
            raise typer.Exit(REFUSED) from refusal
        except ValidationError as error:
            output.refusal(_as_refusal(error))
            raise typer.Exit(REFUSED) from error

    _, *own = inspect.signature(command).parameters.values()
    # typer reads the signature to make the command's options.
    wrapped.__signature__ = inspect.Signature([*own, *_COMMON.values()])  # type: ignore[attr-defined]
    return wrapped


def _as_refusal(error: ValidationError) -> InvalidInput:
    """The first thing that is wrong with what was given."""
    first = error.errors(include_input=False, include_url=False)[0]
    return InvalidInput(first["msg"], field=".".join(str(part) for part in first["loc"]))
