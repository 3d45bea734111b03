"""Write what a run did into its line's ledger."""

from collections.abc import Sequence

from service.domain.ids import new_id
from service.flows.erase import suppress
from service.flows.journal import note_answered
from service.flows.vault import Vault
from service.store.database import Unit
from service.store.tables import LedgerEntry, Line, Target, TargetEdit, Version


def append_members(
    unit: Unit, vault: Vault, line: Line, members: Sequence[Target], version: Version, *, until: int | None = None
) -> list[LedgerEntry]:
    """Write the members' edits into the line's ledger and onto the suppression list.

    But for those of instances that the ledger had removed already when `version` was made. `until`: the last entry
    that it was made with, if not the last one there is.
    """
    before = [e for e in unit.ledger.of_line(line.id) if until is None or e.seq <= until]
    gone = {e.instance_id for e in before if e.text_id is None}
    edits: dict[str, TargetEdit] = {}
    for edit in unit.targets.edits([target.id for target in members]):
        if edit.instance_id in gone or (edit.instance_id in edits and edits[edit.instance_id].text_id is None):
            continue
        edits[edit.instance_id] = edit
    entries = [
        LedgerEntry(
            id=new_id("led"),
            line_id=line.id,
            seq=line.ledger_head + offset,
            dataset_id=edit.dataset_id,
            instance_id=edit.instance_id,
            text_id=edit.text_id,
            target_id=edit.target_id,
            version_id=version.id,
            created_at=unit.now,
        )
        for offset, edit in enumerate(edits.values(), start=1)
    ]
    unit.ledger.append(entries)
    line.ledger_head += len(entries)
    suppress(unit, vault, line, members, entries)
    note_answered(unit, vault, line, members)
    return entries
