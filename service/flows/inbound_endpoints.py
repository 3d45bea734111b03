"""Endpoints for privacy platforms: make, change, give new secrets, close. Secrets are kept sealed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.domain.errors import Conflict, Gone, NotFound
from service.domain.ids import new_id
from service.domain.inbound import MAX_SECRETS, Provider
from service.domain.subjects import SubjectKind
from service.evidence.sealing import Sealed
from service.flows.vault import Vault
from service.store.database import Unit
from service.store.tables import InboundEndpoint, InboundSecret


@dataclass(frozen=True, slots=True)
class EndpointOrder:
    """An endpoint to be made. `lines`: the adapter lines it may affect; None for all, future ones too."""

    provider: Provider
    name: str
    lines: Sequence[str] | None
    subject_kinds: Mapping[str, SubjectKind]
    erasure_types: Sequence[str] | None
    regulation: str | None


def create_endpoint(unit: Unit, vault: Vault, order: EndpointOrder, secret: str, *, actor: str) -> InboundEndpoint:
    """Raises NotFound: there is no such line."""
    _check_lines(unit, order.lines)
    row = InboundEndpoint(
        id=new_id("inb"),
        provider=order.provider,
        name=order.name,
        lines=None if order.lines is None else sorted(set(order.lines)),
        subject_kinds=dict(order.subject_kinds),
        erasure_types=None if order.erasure_types is None else sorted(set(order.erasure_types)),
        regulation=order.regulation,
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
    """
    row = _locked(unit, endpoint_id)
    _check_lines(unit, lines)
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
