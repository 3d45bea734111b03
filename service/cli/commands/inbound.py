"""`lethe inbound`: endpoints that privacy platforms send to."""

from pathlib import Path
from typing import Annotated

import typer

from service.cli.session import Session, talks_to_service
from service.cli.tables.webhooks import inbound_table
from service.domain.errors import InvalidInput
from service.domain.inbound import Provider
from service.domain.subjects import SubjectKind

inbound = typer.Typer(help="Make, list and close endpoints that privacy platforms send to.", no_args_is_help=True)

SecretFile = Annotated[
    Path | None,
    typer.Option(exists=True, dir_okay=False, help="The sender's secret or public key; without it one is made."),
]
EndpointId = Annotated[str, typer.Argument(help="The endpoint's id: inb_…")]


@inbound.command("list")
@talks_to_service
def list_(session: Session) -> None:
    """List the endpoints, newest first."""
    endpoints = list(session.client.list_inbound_endpoints())
    session.output.many(endpoints, inbound_table(endpoints))


@inbound.command()
@talks_to_service
def create(
    session: Session,
    provider: Annotated[Provider, typer.Argument(help="Who sends.")],
    *,
    name: Annotated[str | None, typer.Option(help="A name for people.")] = None,
    line: Annotated[list[str] | None, typer.Option(help="A line it may affect; default: all. Repeatable.")] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=KIND", help="What the sender's name of an identifier is: id=user_id. Repeatable."),
    ] = None,
    erasure_type: Annotated[
        list[str] | None, typer.Option(help="A type of event that asks for erasure. May be repeated.")
    ] = None,
    regulation: Annotated[str | None, typer.Option(help="Whose clock runs: gdpr, uk_gdpr, ccpa, …")] = None,
    agent: Annotated[str | None, typer.Option(help="Of the Data Rights Protocol: the agent's id.")] = None,
    business: Annotated[str | None, typer.Option(help="Of the Data Rights Protocol: the business's id.")] = None,
    callback_host: Annotated[
        list[str] | None, typer.Option(help="A host that its agent may have statuses sent to. Repeatable.")
    ] = None,
    secret_file: SecretFile = None,
) -> None:
    """Make an endpoint. A secret that is made for it is shown this once."""
    endpoint = session.client.create_inbound_endpoint(
        provider,
        name or provider.value,
        secret=_secret(secret_file),
        lines=line or None,
        subject_kinds=dict(_kind(given) for given in kind or ()),
        erasure_types=erasure_type or None,
        regulation=regulation,
        agent_id=agent,
        business_id=business,
        callback_hosts=callback_host or None,
    )
    session.output.one(endpoint, inbound_table([endpoint]))


@inbound.command()
@talks_to_service
def rotate(session: Session, endpoint_id: EndpointId, *, secret_file: SecretFile = None) -> None:
    """Accept a new secret from now on. The one before stays good until the next time."""
    endpoint = session.client.create_inbound_secret(endpoint_id, _secret(secret_file))
    session.output.one(endpoint, inbound_table([endpoint]))


@inbound.command()
@talks_to_service
def delete(session: Session, endpoint_id: EndpointId) -> None:
    """Accept nothing more. What was filed goes on."""
    session.client.delete_inbound_endpoint(endpoint_id)
    session.output.note(f"deleted: {endpoint_id}")


def _secret(file: Path | None) -> str | None:
    """The one line end that editors add is no part of it."""
    return None if file is None else file.read_text(encoding="utf-8").removesuffix("\n")


def _kind(given: str) -> tuple[str, str]:
    name, _, kind = given.partition("=")
    if not name or kind not in set(SubjectKind):
        raise InvalidInput(f"{given} says nothing.", fix=f"Write NAME=KIND, where KIND is {', '.join(SubjectKind)}.")
    return name, kind
