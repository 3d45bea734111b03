"""Create and configure adapter lines, and tell which are out of service for good."""

from collections.abc import Mapping
from typing import Any

from service.domain.adapters import BaseModelRef, Policy
from service.domain.errors import Conflict
from service.domain.ids import new_id
from service.flows.lookup import find_line
from service.store.database import Unit
from service.store.tables import Line

DEFAULT_POOL = "default"


def create_line(
    unit: Unit, name: str, base_model: BaseModelRef, policy: Policy, *, pool: str = DEFAULT_POOL, actor: str
) -> Line:
    """Raises Conflict if the name is taken."""
    if unit.lines.by_name(name) is not None:
        raise Conflict("The name is taken.", field="/name", fix="Choose another name.", code="name-taken")
    line = Line(
        id=new_id("adp"),
        name=name,
        base_path=base_model.path,
        base_revision=base_model.revision,
        policy=policy.model_dump(mode="json"),
        pool=pool,
        created_at=unit.now,
        created_by=actor,
        next_number=1,
        ledger_head=0,
    )
    unit.lines.add(line)
    unit.audit(actor, "adapter.created", adapter=name)
    unit.emit("adapter.created", adapter=name)
    return line


def update_policy(unit: Unit, name: str, changes: dict[str, object], *, actor: str) -> Line:
    """Change the given policy fields, and of those that have fields the given ones. Queued work keeps its strategy."""
    line = unit.lines.lock(find_line(unit, name).id)
    line.policy = Policy.model_validate(_merged(line.policy, changes)).model_dump(mode="json")
    unit.audit(actor, "adapter.policy_changed", adapter=name, fields=sorted(changes))
    unit.emit("adapter.policy_changed", adapter=name)
    return line


def check_in_service(line: Line, *, field: str | None = None) -> None:
    """Raises Conflict if the line is retired."""
    if line.retired_at is not None:
        raise Conflict(
            "The adapter line is retired: nothing of it is left.",
            field=field,
            fix="Leave it out, or create another line under another name.",
            code="line-retired",
            extra={"adapter": line.name, "retired_at": line.retired_at.isoformat()},
        )


def _merged(present: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """As a JSON merge patch (RFC 7396), but that null is a value."""
    return {
        **present,
        **{
            name: _merged(present.get(name) or {}, value) if isinstance(value, Mapping) else value
            for name, value in changes.items()
        },
    }
