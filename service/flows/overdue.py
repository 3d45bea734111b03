"""Tell, once, what is late: requests that are not answered, and data that were to be shredded and are still there."""

from datetime import timedelta

from service.store.database import Unit


def tell_due(unit: Unit, *, within: timedelta) -> int:
    """An event for every open request that is due `within` that time or was due already; returns how many.

    Held requests too: the law does not know why work on them is stopped. A request that is late already was not due
    soon. An extended one is told of again when its new date comes near.
    """
    late = unit.requests.late_untold(unit.now)
    for request in late:
        request.overdue_at, due = unit.now, request.due_at.isoformat()
        unit.audit("lethe", "request.overdue", request=request.id, due_at=due)
        unit.emit("request.overdue", request_id=request.id, state=request.state, due_at=due)
    soon = unit.requests.soon_untold(unit.now, within)
    for request in soon:
        request.due_soon_at, due = unit.now, request.due_at.isoformat()
        unit.emit("request.due_soon", request_id=request.id, state=request.state, due_at=due)
    return len(late) + len(soon)


def tell_overdue(unit: Unit) -> int:
    """An event and an audit row for every target whose data outlived their deadline; returns how many.

    A compaction keeps failing, or nobody looked.
    """
    overdue = unit.targets.overdue(unit.now)
    for target in overdue:
        target.overdue_at = unit.now
        name, due = unit.lines.get(target.line_id).name, target.shred_by.isoformat()
        unit.audit("lethe", "shredding.overdue", adapter=name, request=target.request_id, shred_by=due)
        unit.emit("shredding.overdue", adapter=name, request_id=target.request_id, shred_by=due)
    return len(overdue)
