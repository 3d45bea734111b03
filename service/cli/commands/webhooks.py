"""`lethe webhooks`: who is told of what happens, and what arrived there."""

from datetime import UTC, datetime
from itertools import islice
from typing import Annotated

import typer

from service.cli.session import Session, talks_to_service
from service.cli.tables.webhooks import webhook_deliveries_table, webhook_endpoints_table
from service.client.answers.webhooks import WebhookEndpoint
from service.domain.webhooks import ROTATION_OVERLAP, DeliveryState, SignatureScheme

webhooks = typer.Typer(help="Tell URLs of what happens, with signed messages.", no_args_is_help=True)

Endpoint = Annotated[str, typer.Argument(help="The endpoint's id.", metavar="ENDPOINT")]
Delivery = Annotated[str, typer.Argument(help="The delivery's id.", metavar="DELIVERY")]
Events = Annotated[
    list[str] | None, typer.Option("--event", help="A type, or `request.*`; default: all. Several times.")
]
Lines = Annotated[list[str] | None, typer.Option("--line", help="A line; default: all. Several times.")]
Note = Annotated[str | None, typer.Option("--description", help="A note for people.")]
Scheme = Annotated[
    SignatureScheme | None,
    typer.Option(help="ed25519: receivers have a public key. hmac: they share a secret."),
]


@webhooks.command()
@talks_to_service
def add(
    session: Session,
    receiver: Annotated[str, typer.Argument(help="Where messages are posted to.", metavar="URL")],
    *,
    event: Events = None,
    line: Lines = None,
    description: Note = None,
    scheme: Scheme = None,
) -> None:
    """Tell a URL of what happens from now on. The secret of the scheme hmac is shown this once."""
    endpoint = session.client.create_webhook_endpoint(
        receiver,
        scheme=scheme or SignatureScheme.ed25519,
        event_types=event or None,
        lines=line or None,
        description=description,
    )
    session.output.one(endpoint, webhook_endpoints_table([endpoint]))


@webhooks.command("list")
@talks_to_service
def list_(session: Session) -> None:
    """List the endpoints, newest first."""
    endpoints = list(session.client.list_webhook_endpoints())
    session.output.many(endpoints, webhook_endpoints_table(endpoints))


@webhooks.command()
@talks_to_service
def show(session: Session, endpoint: Endpoint) -> None:
    """Show an endpoint: whether it works, and how its messages are verified."""
    _show(session, session.client.get_webhook_endpoint(endpoint))


@webhooks.command()
@talks_to_service
def change(
    session: Session,
    endpoint: Endpoint,
    *,
    receiver: Annotated[str | None, typer.Option(help="Where messages are posted to.", metavar="URL")] = None,
    event: Events = None,
    line: Lines = None,
    description: Note = None,
    enabled: Annotated[bool | None, typer.Option("--enable/--disable", help="Switch it on or off.")] = None,
) -> None:
    """Change what is given, or switch an endpoint on or off."""
    asked = {"url": receiver, "event_types": event, "lines": line, "description": description, "enabled": enabled}
    changes = {member: value for member, value in asked.items() if value is not None and value != []}
    _show(session, session.client.update_webhook_endpoint(endpoint, changes))


@webhooks.command()
@talks_to_service
def remove(session: Session, endpoint: Endpoint) -> None:
    """Forget an endpoint, its keys, and what was sent to it."""
    session.client.delete_webhook_endpoint(endpoint)
    session.output.note(f"deleted: {endpoint}")


@webhooks.command()
@talks_to_service
def rotate(
    session: Session,
    endpoint: Endpoint,
    *,
    scheme: Scheme = None,
    overlap_s: Annotated[int, typer.Option(help="For how many seconds the keys before sign too.")] = int(
        ROTATION_OVERLAP.total_seconds()
    ),
) -> None:
    """Sign with a new key from now on. The secret of the scheme hmac is shown this once."""
    _show(session, session.client.rotate_webhook_secret(endpoint, scheme=scheme, overlap_s=overlap_s))


@webhooks.command()
@talks_to_service
def test(session: Session, endpoint: Endpoint) -> None:
    """Send a message to try an endpoint."""
    delivery = session.client.try_webhook_endpoint(endpoint)
    session.output.one(delivery, webhook_deliveries_table([delivery]))


@webhooks.command()
@talks_to_service
def deliveries(
    session: Session,
    endpoint: Endpoint,
    *,
    state: Annotated[DeliveryState | None, typer.Option(help="Only those in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = 20,
) -> None:
    """List what was sent to an endpoint, newest first."""
    found = list(islice(session.client.list_webhook_deliveries(endpoint, state=state), limit))
    session.output.many(found, webhook_deliveries_table(found))


@webhooks.command()
@talks_to_service
def resend(session: Session, endpoint: Endpoint, delivery: Delivery) -> None:
    """Send a message again, under its id."""
    again = session.client.resend_webhook_delivery(endpoint, delivery)
    session.output.one(again, webhook_deliveries_table([again]))


@webhooks.command()
@talks_to_service
def recover(
    session: Session,
    endpoint: Endpoint,
    *,
    since: Annotated[datetime, typer.Option(help="A moment in UTC, thirty days ago at most.")],
) -> None:
    """Deliver whatever happened since a moment and did not arrive."""
    _show(session, session.client.recover_webhook_deliveries(endpoint, since.replace(tzinfo=UTC)))


def _show(session: Session, endpoint: WebhookEndpoint) -> None:
    session.output.one(endpoint, webhook_endpoints_table([endpoint]))
