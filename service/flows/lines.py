"""Create adapter lines, and tell which are out of service for good."""

from service.domain.adapters import BaseModelRef, Policy
from service.domain.errors import Conflict
from service.domain.ids import new_id
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
