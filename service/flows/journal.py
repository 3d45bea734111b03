"""What goes into the erasure journal, and how it gets there: rows first, blobs after the commit.

So nothing is ever in the journal that did not happen. A database that is lost within moments of a commit may take an
entry with it; the gauge `lethe_journal_lag` tells how many wait.
"""

from collections.abc import Sequence

from service.flows.vault import Vault
from service.settings import Settings
from service.store.blobs import Blobs
from service.store.database import Store, Unit
from service.store.journal import Entry, Journal
from service.store.tables import Line, Target

BATCH = 100


def journal_of(settings: Settings, vault: Vault) -> Journal:
    """The journal of the deployment these settings describe."""
    return Journal(Blobs(settings.journal_url), vault.hashes.journal)


def write_waiting(store: Store, journal: Journal) -> int:
    """Write the entries that the journal does not have yet; returns how many."""
    with store.read() as unit:
        waiting = [Entry(row.id, row.created_at, tuple(row.facts)) for row in unit.journal.unwritten(BATCH)]
    for entry in waiting:
        journal.write(entry)
    if waiting:
        with store.write() as unit:
            unit.journal.mark([entry.id for entry in waiting], written_at=unit.now)
    return len(waiting)


def note_answered(unit: Unit, vault: Vault, line: Line, members: Sequence[Target]) -> None:
    """Enough to file these requests again, without a word of what they said."""
    edits = unit.targets.edits([target.id for target in members])
    for target in members:
        request = unit.requests.get(target.request_id)
        assert request is not None, "targets refer to existing requests"
        mine = [edit for edit in edits if edit.target_id == target.id]
        names = [
            {
                "dataset": edit.dataset_id,
                "instance": vault.hashes.instance(edit.dataset_id, edit.instance_id),
                "removed": edit.text_id is None,
            }
            for edit in mine
        ]
        unit.note_erasure(
            "answered",
            line=line.id,
            request={
                "id": request.id,
                "regulation": request.regulation,
                "received_at": request.received_at.isoformat(),
                "ack_due_at": None if request.ack_due_at is None else request.ack_due_at.isoformat(),
                "due_at": request.due_at.isoformat(),
                "created_at": request.created_at.isoformat(),
                "created_by": request.created_by,
                "every_line": request.every_line,
                "operation_counts": request.operation_counts,
                "receipt": request.receipt,
                "strategy": request.strategy,
            },
            subjects=sorted(unit.requests.subjects([request.id])),
            edits=names,
        )
