"""Events and audit rows, as clients see them."""

from service.api.schemas.feed import AuditHeadRead, AuditRowRead, EventRead
from service.evidence.statements import audit_head
from service.flows.vault import Vault
from service.store.database import Unit
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


def audit_head_read(unit: Unit, vault: Vault) -> AuditHeadRead:
    """The present head of the chain, signed now."""
    head = unit.feed.audit_head()
    envelope = vault.signer(unit).envelope(audit_head(head, issued_at=unit.now))
    return AuditHeadRead(position=head.position, seq=head.seq, hash=head.hash, issued_at=unit.now, envelope=envelope)
