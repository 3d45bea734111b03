"""`lethe agent`: beside an inference server, keep it on the versions that aliases point at."""

import signal
import threading
from pathlib import Path
from typing import Annotated

import typer

from service.cli.documents import read_json
from service.cli.output import Output
from service.cli.session import DONE, FAILED, REFUSED, Key, Url
from service.client.drivers import DEFAULT_URL
from service.domain.errors import InvalidInput, LetheError
from service.domain.serving import Precision, ServerKind
from service.evidence.model_verification import read_model_keys
from service.hotswap.agent.agent import Agent, Followed
from service.hotswap.agent.pull import Puller
from service.hotswap.servers import connect
from service.hotswap.vllm_plugin.follower import Follower
from service.hotswap.vllm_plugin.lethe import Lethe
from service.hotswap.vllm_plugin.names import parse
from service.hotswap.vllm_plugin.settings import Settings
from service.hotswap.vllm_plugin.shelf import Shelf
from service.logs import configure_logging

MAX_BYTES = 2 * 2**30
LEASE_S = 300.0


def agent(
    followed: Annotated[
        list[str], typer.Argument(metavar="NAME@ALIAS...", help="What the server shall serve, as bot@production.")
    ],
    *,
    url: Url = DEFAULT_URL,
    key: Key = None,
    keys: Annotated[
        Path, typer.Option(metavar="JWKS", help="The key set to trust, as saved from /.well-known/jwks.json.")
    ],
    base: Annotated[str, typer.Option(help="The server's base model, as Lethe calls it: its path or its digest.")],
    server: Annotated[
        str, typer.Option(metavar="URL", help="Where the inference server is.")
    ] = "http://127.0.0.1:8000",
    kind: Annotated[ServerKind, typer.Option(help="Whose routes it has.")] = ServerKind.vllm,
    server_key: Annotated[
        str | None, typer.Option(envvar="LETHE_SERVER_KEY", help="The key that the inference server asks for.")
    ] = None,
    precision: Annotated[Precision, typer.Option(help="What it computes in.")] = Precision.bfloat16,
    directory: Annotated[Path, typer.Option(file_okay=False, help="Gets the files.")] = Path(".lethe-agent"),
    mount: Annotated[
        Path | None, typer.Option(help="Where the server sees `content` of that directory, if elsewhere.")
    ] = None,
    poll: Annotated[float, typer.Option(min=0.05, help="Seconds between two looks at the feed.")] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Look once; exit with 1 if something is left to do.")] = False,
) -> None:
    """Follow the feed; pull, verify, place, swap and delete versions for the server on this host."""
    configure_logging("INFO", process="agent")
    try:
        lines = [_followed(name) for name in followed]
        trusted = read_model_keys(read_json(keys))
        if not key:
            raise InvalidInput(
                "There is no API key.", field="--key", fix="Give one with the scopes adapters:read and events:read."
            )
    except LetheError as refusal:
        Output(as_json=False).refusal(refusal)
        raise typer.Exit(REFUSED) from refusal
    lethe, shelf = Lethe(url.rstrip("/"), key), Shelf(directory.absolute())
    settings = Settings(
        url=url,
        api_key=key,
        cache=directory,
        max_bytes=MAX_BYTES,
        lease_s=LEASE_S,
        poll_s=poll,
        lines=None,
        bases=None,
        aliases=True,
    )
    puller = Puller(settings, lethe, shelf, trusted, base, mount or shelf.content)
    replica = connect(kind, server, server_key)
    one = Agent(replica, puller, Follower(lethe, shelf, LEASE_S), lines, precision)
    try:
        is_done = one.look() if once else _go_on(one, poll)
    finally:
        one.close()
        replica.close()
    raise typer.Exit(DONE if is_done else FAILED)


def _go_on(agent: Agent, poll_s: float) -> bool:
    """Until SIGINT or SIGTERM, which wait for the step that is under way."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    while not stop.is_set():
        agent.look()
        stop.wait(poll_s)
    return True


def _followed(name: str) -> Followed:
    parsed = parse(name, aliases=True)
    if parsed is None or not parsed.is_alias:
        raise InvalidInput(f"{name} names no alias.", field="NAME@ALIAS", fix="Write it like support-bot@production.")
    return Followed(parsed.line, parsed.selector)
