"""Events and audit rows, as clients see them."""

from service.api.schemas.feed import AuditRowRead, EventRead
from service.store.tables import AuditRow, Event


def event_read(event: Event) -> EventRead:
    return EventRead(
        id=event.seq,
        type=event.type,
        created_at=event.created_at,
        adapter=event.adapter,
        request=event.request_id,
        run=event.run_id,
        data=event.data,
    )


def audit_read(row: AuditRow) -> AuditRowRead:
    return AuditRowRead(
        seq=row.seq, created_at=row.created_at, actor=row.actor, action=row.action, data=row.data, hash=row.hash
    )
