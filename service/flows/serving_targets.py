"""Register inference servers that Lethe drives, and let go of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from service.domain.errors import Conflict, InvalidInput, NotFound
from service.domain.ids import new_id
from service.domain.serving import Precision, ServerKind, is_within
from service.domain.serving_limits import ServingLimits
from service.evidence.sealing import Sealed
from service.flows.fit import check_served
from service.flows.lookup import find_line
from service.flows.vault import Vault
from service.store.database import Unit
from service.store.tables import Line, Replica, ServingTarget


@dataclass(frozen=True, slots=True)
class ServingOrder:
    """A target to be made. `urls`: one a replica. `mount`: the adapter directory as the replicas see it."""

    name: str
    kind: ServerKind
    urls: Sequence[str]
    lines: Sequence[str]
    alias: str
    mount: str
    precision: Precision
    limits: ServingLimits
    api_key: str | None = field(default=None, repr=False)


def add_target(unit: Unit, vault: Vault, order: ServingOrder, *, mounts: list[str], actor: str) -> ServingTarget:
    """A target whose replicas are driven from now on.

    Args:
        mounts: directories in which `mount` must lie.

    Raises:
        InvalidInput: the mount lies elsewhere.
        NotFound: an unknown line.
        Conflict: the name or a URL is taken, or what the alias points at does not fit the limits.
    """
    if not is_within(order.mount, mounts):
        raise InvalidInput(
            "Adapters may not be read from this directory.",
            field="/mount",
            fix="Name one of the directories in LETHE_SERVING_MOUNTS, or add this one there.",
            code="mount-not-allowed",
        )
    lines = [_found(unit, name, place) for place, name in enumerate(order.lines)]
    _check_free(unit, order)
    for line in lines:
        # Publishing asks for the targets of a line under the same lock.
        check_served(unit, unit.lines.lock(line.id), order.alias, order.limits)
    row = _target(unit, vault, order, actor)
    unit.serving.add(row)
    for url in order.urls:
        for line in lines:
            unit.serving.add(_replica(unit, row, url, line))
    unit.audit(actor, "serving_target.added", target=row.id, kind=row.kind, adapters=row.lines)
    for line in lines:
        unit.emit("serving_target.added", adapter=line.name, target=row.id, kind=row.kind)
    return row


def find_target(unit: Unit, target_id: str) -> ServingTarget:
    """Raises NotFound."""
    row = unit.serving.target(target_id)
    if row is None:
        raise NotFound("There is no such serving target.", field="target_id", code="unknown-serving-target")
    return row


def leave_target(unit: Unit, target_id: str, *, actor: str) -> ServingTarget:
    """Have every replica unload what Lethe put there; then the target is gone. Raises NotFound."""
    row = find_target(unit, target_id)
    if row.leaving_at is None:
        row.leaving_at = unit.now
        for replica in unit.serving.replicas_of(row.id):
            replica.due_at = unit.now
        unit.audit(actor, "serving_target.leaving", target=row.id)
    return row


def forget_target(unit: Unit, target_id: str, *, actor: str) -> None:
    """Drop a target whose servers are gone. One that still runs keeps what it has loaded. Raises NotFound."""
    row = find_target(unit, target_id)
    for replica in unit.serving.replicas_of(row.id):
        unit.serving.remove(replica)
    drop_target(unit, row, actor=actor)


def drop_target(unit: Unit, row: ServingTarget, *, actor: str) -> None:
    """Remove the row of a target without replicas. Receipts stay."""
    unit.serving.remove(row)
    unit.audit(actor, "serving_target.removed", target=row.id)
    for line in row.lines:
        unit.emit("serving_target.removed", adapter=line, target=row.id)


def api_key_of(vault: Vault, target: ServingTarget) -> str | None:
    """The key that the servers ask for. Raises Corrupted if it does not open."""
    if target.ciphertext is None:
        return None
    return vault.sealer.unseal(Sealed(target.ciphertext, target.wrapped_key), context=_context(target.id)).decode()


def _context(target_id: str) -> str:
    return f"serving target {target_id}"


def _found(unit: Unit, name: str, place: int) -> Line:
    try:
        return find_line(unit, name)
    except NotFound as error:
        raise NotFound(error.detail, field=f"/lines/{place}", fix="Create it first.", code=error.code) from None


def _check_free(unit: Unit, order: ServingOrder) -> None:
    if unit.serving.target_by_name(order.name) is not None:
        raise Conflict("The name is taken.", field="/name", fix="Choose another name.", code="name-taken")
    taken = set(unit.serving.taken(order.urls))
    if taken:
        place = next(place for place, url in enumerate(order.urls) if url in taken)
        raise Conflict(
            "Another serving target has this URL.",
            field=f"/urls/{place}",
            fix="A server belongs to one target: name all of its lines there.",
            code="url-taken",
        )


def _target(unit: Unit, vault: Vault, order: ServingOrder, actor: str) -> ServingTarget:
    target_id = new_id("srv")
    sealed = None if order.api_key is None else vault.sealer.seal(order.api_key.encode(), context=_context(target_id))
    modules = order.limits.target_modules
    return ServingTarget(
        id=target_id,
        name=order.name,
        kind=order.kind,
        urls=list(order.urls),
        lines=list(order.lines),
        alias=order.alias,
        mount=order.mount,
        precision=order.precision,
        max_lora_rank=order.limits.max_lora_rank,
        target_modules=None if modules is None else sorted(modules),
        ciphertext=None if sealed is None else sealed.ciphertext,
        wrapped_key=None if sealed is None else sealed.wrapped_key,
        created_at=unit.now,
        created_by=actor,
    )


def _replica(unit: Unit, target: ServingTarget, url: str, line: Line) -> Replica:
    return Replica(
        id=new_id("rep"),
        target_id=target.id,
        url=url,
        line_id=line.id,
        desired_at=unit.now,
        held=[],
        removed={},
        due_at=unit.now,
    )
