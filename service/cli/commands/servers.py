"""`lethe servers`: the inference servers that Lethe drives."""

from typing import Annotated

import typer

from service.cli.session import Session, talks_to_service
from service.cli.tables.serving import replicas_table, serving_targets_table
from service.domain.serving import Precision, ServerKind

servers = typer.Typer(help="Register inference servers, and see what each replica serves.", no_args_is_help=True)

Target = Annotated[str, typer.Argument(help="The target's id.", metavar="TARGET")]


@servers.command()
@talks_to_service
def add(
    session: Session,
    name: Annotated[str, typer.Argument(help="A name for people.")],
    *,
    kind: Annotated[ServerKind, typer.Option(help="What kind of server it is.")],
    server: Annotated[list[str], typer.Option(help="Base URL of a replica. May be given several times.")],
    line: Annotated[list[str], typer.Option(help="An adapter line it serves. May be given several times.")],
    alias: Annotated[str, typer.Option(help="The alias it follows.")] = "production",
    mount: Annotated[
        str | None, typer.Option(help="Where the servers see LETHE_SERVING_DIR; default: at the same path.")
    ] = None,
    precision: Annotated[Precision, typer.Option(help="What the servers compute in.")] = Precision.bfloat16,
    max_lora_rank: Annotated[int | None, typer.Option(help="Highest rank that the servers take.")] = None,
    target_module: Annotated[
        list[str] | None, typer.Option(help="A module that the servers adapt; default: any. Several times.")
    ] = None,
    api_key: Annotated[
        str | None, typer.Option(envvar="LETHE_SERVER_API_KEY", help="Bearer token of the servers.")
    ] = None,
) -> None:
    """Register servers. Each is driven to what the alias points at, now and whenever it moves."""
    target = session.client.create_serving_target(
        name,
        kind,
        urls=server,
        lines=line,
        alias=alias,
        mount=mount,
        precision=precision,
        max_lora_rank=max_lora_rank,
        target_modules=target_module or None,
        api_key=api_key,
    )
    session.output.one(target, serving_targets_table([target]))


@servers.command("list")
@talks_to_service
def list_(session: Session) -> None:
    """List the serving targets, newest first."""
    targets = list(session.client.list_serving_targets())
    session.output.many(targets, serving_targets_table(targets))


@servers.command()
@talks_to_service
def show(session: Session, target: Target) -> None:
    """Show which version each replica shall serve, and was proven to serve."""
    found = session.client.get_serving_target(target)
    session.output.one(found, replicas_table(found))


@servers.command()
@talks_to_service
def remove(
    session: Session,
    target: Target,
    *,
    forget: Annotated[bool, typer.Option(help="At once, for servers that are gone for good.")] = False,
) -> None:
    """Have every replica unload the lines; then the target is gone."""
    session.client.delete_serving_target(target, forget=forget)
    done = "is forgotten" if forget else "is being emptied, and then it is gone"
    session.output.value({"id": target, "state": "gone" if forget else "leaving"}, f"{target} {done}")
