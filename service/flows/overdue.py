"""Tell, once, that data which were to be shredded are still there: a compaction keeps failing, or nobody looked."""

from service.store.database import Unit


def tell_overdue(unit: Unit) -> int:
    """An event and an audit row for every target whose data outlived their deadline; returns how many."""
    overdue = unit.targets.overdue(unit.now)
    for target in overdue:
        target.overdue_at = unit.now
        name, due = unit.lines.get(target.line_id).name, target.shred_by.isoformat()
        unit.audit("lethe", "shredding.overdue", adapter=name, request=target.request_id, shred_by=due)
        unit.emit("shredding.overdue", adapter=name, request_id=target.request_id, shred_by=due)
    return len(overdue)
