"""Endpoints for privacy platforms: make, change, give new secrets, close. Secrets are kept sealed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.domain.errors import Conflict, Gone, InvalidInput, NotFound
from service.domain.ids import new_id
from service.domain.inbound import MAX_SECRETS, Provider
from service.domain.subjects import SubjectKind
from service.evidence.sealing import Sealed
from service.flows.vault import Vault
from service.store.database import Unit
from service.store.tables import InboundEndpoint, InboundSecret


@dataclass(frozen=True, slots=True)
class EndpointOrder:
    """An endpoint to be made. `lines`: the adapter lines it may affect; None for all, future ones too.

    `agent_id`, `business_id`: the two sides of the Data Rights Protocol, and of no other provider. `callback_hosts`:
    where its agent may have statuses sent to.
    """

    provider: Provider
    name: str
    lines: Sequence[str] | None
    subject_kinds: Mapping[str, SubjectKind]
    erasure_types: Sequence[str] | None
    regulation: str | None
    agent_id: str | None = None
    business_id: str | None = None
    callback_hosts: Sequence[str] | None = None


def create_endpoint(unit: Unit, vault: Vault, order: EndpointOrder, secret: str, *, actor: str) -> InboundEndpoint:
    """
    Raises:
        NotFound: there is no such line.
        InvalidInput: who asks whom is missing, or is said of a provider that has no such thing.
        Conflict: the two have an endpoint.
    """
    _check_lines(unit, order.lines)
    _check_parties(unit, order)
    row = InboundEndpoint(
        id=new_id("inb"),
        provider=order.provider,
        name=order.name,
        lines=None if order.lines is None else sorted(set(order.lines)),
        subject_kinds=dict(order.subject_kinds),
        erasure_types=None if order.erasure_types is None else sorted(set(order.erasure_types)),
        regulation=order.regulation,
        agent_id=order.agent_id,
        business_id=order.business_id,
        callback_hosts=_hosts(order.callback_hosts),
        created_at=unit.now,
        created_by=actor,
    )
    unit.inbound.add(row)
    _seal(unit, vault, row, secret)
    unit.audit(actor, "inbound_endpoint.created", endpoint=row.id, provider=row.provider, lines=row.lines)
    return row


def change_endpoint(
    unit: Unit, endpoint_id: str, changes: Mapping[str, object], *, lines: Sequence[str] | None, actor: str
) -> InboundEndpoint:
    """Set some columns. `lines`: those among the changes, if they are.

    Raises:
        NotFound, Gone.
        InvalidInput: hosts for callbacks that nobody can ask for.
    """
    row = _locked(unit, endpoint_id)
    _check_lines(unit, lines)
    if changes.get("callback_hosts") is not None and row.provider is not Provider.drp:
        raise _of_drp_alone("callback_hosts")
    for column, value in changes.items():
        setattr(row, column, value)
    unit.audit(actor, "inbound_endpoint.changed", endpoint=row.id, changed=sorted(changes))
    return row


def add_secret(unit: Unit, vault: Vault, endpoint_id: str, secret: str, *, actor: str) -> InboundEndpoint:
    """Accept another secret from now on. Of those before only the newest stays good.

    Raises:
        NotFound, Gone.
    """
    row = _locked(unit, endpoint_id)
    made = _seal(unit, vault, row, secret)
    older = unit.inbound.secrets(row.id)[MAX_SECRETS:]
    unit.inbound.drop_secrets([secret.id for secret in older])
    unit.audit(actor, "inbound_secret.created", endpoint=row.id, secret=made.id)
    return row


def drop_secret(unit: Unit, endpoint_id: str, secret_id: str, *, actor: str) -> None:
    """Accept a secret no longer.

    Raises:
        NotFound, Gone.
        Conflict: it is the last one.
    """
    row = _locked(unit, endpoint_id)
    present = [secret.id for secret in unit.inbound.secrets(row.id)]
    if secret_id not in present:
        raise NotFound("The endpoint has no such secret.", field="secret_id", code="unknown-secret")
    if present == [secret_id]:
        raise Conflict(
            "It is the endpoint's only secret.",
            field="secret_id",
            fix="Add another one first, or delete the endpoint.",
            code="last-secret",
        )
    unit.inbound.drop_secrets([secret_id])
    unit.audit(actor, "inbound_secret.deleted", endpoint=row.id, secret=secret_id)


def close_endpoint(unit: Unit, endpoint_id: str, *, actor: str) -> None:
    """Accept nothing more, and destroy the secrets. What was filed goes on.

    Raises:
        NotFound, Gone.
    """
    row = _locked(unit, endpoint_id)
    row.deleted_at = unit.now
    unit.inbound.drop_secrets([secret.id for secret in unit.inbound.secrets(row.id)])
    unit.audit(actor, "inbound_endpoint.deleted", endpoint=row.id)


def find_endpoint(unit: Unit, endpoint_id: str) -> InboundEndpoint:
    """Raises NotFound, Gone."""
    return _present(unit.inbound.get(endpoint_id))


def secrets_of(unit: Unit, vault: Vault, endpoint: InboundEndpoint) -> list[str]:
    """The secrets that verify its deliveries, newest first."""
    return [
        vault.sealer.unseal(Sealed(row.ciphertext, row.wrapped_key), context=row.id).decode()
        for row in unit.inbound.secrets(endpoint.id)
    ]


def _locked(unit: Unit, endpoint_id: str) -> InboundEndpoint:
    return _present(unit.inbound.lock(endpoint_id))


def _present(row: InboundEndpoint | None) -> InboundEndpoint:
    if row is None:
        raise NotFound("There is no such inbound endpoint.", field="endpoint_id", code="unknown-endpoint")
    if row.deleted_at is not None:
        raise Gone("The inbound endpoint was deleted.", field="endpoint_id", code="endpoint-deleted")
    return row


def _check_lines(unit: Unit, lines: Sequence[str] | None) -> None:
    for position, name in enumerate(lines or ()):
        if unit.lines.by_name(name) is None:
            raise NotFound(
                "There is no such adapter line.",
                field=f"/lines/{position}",
                fix="List the lines with GET /v1/adapters.",
                code="unknown-adapter",
            )


def _check_parties(unit: Unit, order: EndpointOrder) -> None:
    given = {"agent_id": order.agent_id, "business_id": order.business_id, "callback_hosts": order.callback_hosts}
    if order.provider is not Provider.drp:
        if excess := [name for name, value in given.items() if value is not None]:
            raise _of_drp_alone(excess[0])
        return
    if order.agent_id is None or order.business_id is None:
        raise InvalidInput(
            "An endpoint of the Data Rights Protocol is of one agent and one business.",
            field="/agent_id" if order.agent_id is None else "/business_id",
            fix="Give the ids of both in the service directory.",
            code="parties-required",
        )
    if any(one.business_id == order.business_id for one in unit.inbound.of_agent(order.agent_id)):
        raise Conflict("The agent has an endpoint for this business.", field="/agent_id", code="agent-known")


def _of_drp_alone(member: str) -> InvalidInput:
    return InvalidInput(
        "Only endpoints of the Data Rights Protocol have this.", field=f"/{member}", fix="Leave it out."
    )


def _hosts(given: Sequence[str] | None) -> list[str] | None:
    return None if given is None else sorted(set(given))


def _seal(unit: Unit, vault: Vault, endpoint: InboundEndpoint, secret: str) -> InboundSecret:
    secret_id = new_id("ins")
    sealed = vault.sealer.seal(secret.encode(), context=secret_id)
    assert sealed.wrapped_key is not None, "only shredding takes a wrapped key away"
    row = InboundSecret(
        id=secret_id,
        endpoint_id=endpoint.id,
        ciphertext=sealed.ciphertext,
        wrapped_key=sealed.wrapped_key,
        created_at=unit.now,
    )
    unit.inbound.add(row)
    return row
