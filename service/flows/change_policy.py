"""Change how a line answers requests."""

from collections.abc import Mapping
from typing import Any

from service.domain.adapters import Policy
from service.domain.runs import Lane
from service.flows.lookup import find_line
from service.flows.schedule import reschedule
from service.store.database import Unit
from service.store.tables import Line


def update_policy(unit: Unit, name: str, changes: dict[str, object], *, actor: str) -> Line:
    """Change the given policy fields, and of those that have fields the given ones.

    Queued work keeps its strategy, but begins when the new policy says.
    """
    line = unit.lines.lock(find_line(unit, name).id)
    line.policy = Policy.model_validate(_merged(line.policy, changes)).model_dump(mode="json")
    for lane in (Lane.answer, Lane.compact):
        run = unit.runs.queued(line.id, lane)
        if run is not None:
            reschedule(unit, line, run)
    unit.audit(actor, "adapter.policy_changed", adapter=name, fields=sorted(changes))
    unit.emit("adapter.policy_changed", adapter=name)
    return line


def _merged(present: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """As a JSON merge patch (RFC 7396), but that null is a value."""
    return {
        **present,
        **{
            name: _merged(present.get(name) or {}, value) if isinstance(value, Mapping) else value
            for name, value in changes.items()
        },
    }
