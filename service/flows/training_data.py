"""What a line is trained on, now: its dataset with the ledger applied."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.domain.states import VersionState
from service.store.database import Unit
from service.store.tables import Dataset, InstanceRow, LedgerEntry, Line, Version


@dataclass(frozen=True, slots=True)
class Edited:
    """What the ledger makes of every instance it touches: its new text id, or None if removed."""

    text_ids: Mapping[str, str | None]

    def is_removed(self, instance_id: str) -> bool:
        return instance_id in self.text_ids and self.text_ids[instance_id] is None

    def text_id(self, row: InstanceRow) -> str:
        """The text that stands for this instance now; for one that is not removed."""
        return self.text_ids.get(row.instance_id) or row.text_id


def edited(entries: Sequence[LedgerEntry], dataset_id: str) -> Edited:
    """Fold ledger entries, oldest first, into the present state of a dataset.

    The last correction counts, and a removal is final: a rebuild may enter a correction after the removal that was
    answered while it ran.
    """
    mine = [entry for entry in entries if entry.dataset_id == dataset_id]
    corrected = {entry.instance_id: entry.text_id for entry in mine}
    return Edited({**corrected, **{entry.instance_id: None for entry in mine if entry.text_id is None}})


def present(unit: Unit, dataset_id: str, edits: Edited) -> list[InstanceRow]:
    """The rows that are still trained on, in order."""
    return [row for row in unit.datasets.instances(dataset_id) if not edits.is_removed(row.instance_id)]


def source_version(unit: Unit, line: Line) -> Version | None:
    """The version whose dataset a request selects from: the anchor, else the first one in preparation."""
    anchor = unit.versions.find(line.anchor_id)
    if anchor is not None:
        return anchor
    return next(iter(unit.versions.of_line(line.id, VersionState.preparing)), None)


def dataset_of(unit: Unit, version: Version) -> Dataset:
    dataset = unit.datasets.get(version.dataset_id)
    assert dataset is not None, "versions refer to existing datasets"
    return dataset
