"""After a backup of the database was restored: do again what was erased since it was made.

The journal tells. In one transaction, before anything is served: suppressions come back, keys are destroyed again,
versions that remember leave service, and requests that were lost are filed again. What can be answered anew is
answered anew; nothing is served of a line until then.

The journal holds what was erased, not what was decided: a request that was rejected or canceled since the backup is
open again, for a person to decide once more.
"""

from collections.abc import Collection, Sequence

from service.domain.adapters import Strategy
from service.domain.compaction import CompactionReason
from service.domain.states import TargetState, VersionState
from service.flows.refile import refile
from service.flows.retire import retire
from service.flows.strategy import can_rebuild, record_choice
from service.flows.vault import Vault
from service.flows.withdraw import take_away
from service.store.blobs import Blobs
from service.store.database import Store, Unit
from service.store.journal import Entry, Journal
from service.store.tables import JournalRow, Version
from service.store.tables.base import Json

_RETIRED_BEFORE = "It was retired before an older database was restored."
_UNSOLVABLE = "The database was restored, and what updates are solved from was destroyed since its backup."


def lost_entries(store: Store, journal: Journal) -> list[str]:
    """The journal's entries that the database does not have, oldest first: a restore took it back behind them."""
    with store.read() as unit:
        return sorted(journal.ids() - unit.journal.ids())


def reapply(store: Store, vault: Vault, blobs: Blobs, journal: Journal) -> int:
    """Do again what the database lost; returns how many entries that were. Of several processes one does it.

    Raises:
        Corrupted: the journal was altered, or belongs to another master key.
    """
    entries: list[Entry] = []
    if lost_entries(store, journal):
        with store.write() as unit:
            unit.journal.lock()
            entries = [journal.read(entry_id) for entry_id in sorted(journal.ids() - unit.journal.ids())]
            if entries:
                _reapply(unit, vault, blobs, entries)
                _delete_orphans(unit, blobs)
    _write_again(store, journal)
    return len(entries)


def _reapply(unit: Unit, vault: Vault, blobs: Blobs, entries: Sequence[Entry]) -> None:
    facts = [fact for entry in entries for fact in entry.facts]
    answers = _of(facts, "answered")
    for fact in _of(facts, "suppressed"):
        for kind in ("content", "subject"):
            hashes, scope, request = fact[kind], fact["line"], fact["request"]
            unit.datasets.suppress(kind, hashes, line_id=scope, request_id=request, now=unit.now)
    _destroy(unit, vault, facts)
    for fact in _of(facts, "published"):
        line = unit.lines.find(fact["line"])
        if line is not None:
            # A number that was ever given out names no other version.
            line.next_number = max(line.next_number, fact["number"] + 1)
    withdrawn = _stop_serving(unit, {fact["line"] for fact in answers}) + _drop_missing(unit, blobs)
    requests = refile(unit, vault, answers, to_rebuild=_rebuild_unsolvable(unit, blobs))
    for fact in _of(facts, "retired"):
        line = unit.lines.find(fact["line"])
        if line is not None and line.retired_at is None:
            retire(unit, vault, line.name, actor="lethe", reason=_RETIRED_BEFORE)
    for entry in entries:
        row = JournalRow(id=entry.id, created_at=entry.at, facts=list(entry.facts), written_at=unit.now)
        unit.journal.add(row)
    count, first, last = len(entries), entries[0].id, entries[-1].id
    unit.audit("lethe", "erasures.reapplied", entries=count, first=first, last=last, requests=requests)
    unit.emit("erasures.reapplied", entries=count, versions=withdrawn, requests=len(requests))


def _of(facts: Sequence[Json], kind: str) -> list[Json]:
    return [fact for fact in facts if fact["kind"] == kind]


def _destroy(unit: Unit, vault: Vault, facts: Sequence[Json]) -> None:
    """The keys that came back with the backup, and the names of what was forgotten."""
    unit.texts.shred({text_id for fact in _of(facts, "shredded") for text_id in fact["texts"]}, unit.now)
    for prefix in {prefix for fact in _of(facts, "derived_shredded") for prefix in fact["prefixes"]}:
        unit.trees.shred(prefix, unit.now)
    forgotten: dict[str, set[str]] = {}
    for fact in _of(facts, "forgotten"):
        forgotten.setdefault(fact["dataset"], set()).update(fact["instances"])
    for dataset_id, pseudonyms in forgotten.items():
        names = [row.instance_id for row in unit.datasets.instances(dataset_id)]
        gone = {name: vault.hashes.pseudonym(dataset_id, name) for name in names}
        gone = {name: pseudonym for name, pseudonym in gone.items() if pseudonym in pseudonyms}
        unit.datasets.forget_sketches(dataset_id, gone)
        unit.datasets.rename(dataset_id, gone)


def _stop_serving(unit: Unit, line_ids: Collection[str]) -> int:
    """Every version there is of these lines is older than an erasure; returns how many left service."""
    found = [line for line_id in sorted(line_ids) if (line := unit.lines.find(line_id)) is not None]
    count = 0
    for line in found:
        versions = unit.versions.of_line(line.id, VersionState.ready)
        for version in versions:
            take_away(unit, line, version)
        count += len(versions)
    return count


def _drop_missing(unit: Unit, blobs: Blobs) -> int:
    """Versions whose files were deleted since the backup; returns how many left service."""
    count = 0
    for version in unit.versions.with_files():
        if version.blob_prefix is None or version.state is VersionState.preparing:
            continue
        if not blobs.exists_tree(version.blob_prefix):
            version.blob_prefix = None
            if version.state is VersionState.ready:
                take_away(unit, unit.lines.get(version.line_id), version)
                count += 1
    return count


def _rebuild_unsolvable(unit: Unit, blobs: Blobs) -> set[str]:
    """The lines whose anchor cannot be solved from any more; those that can be are rebuilt."""
    found = set()
    for line in unit.lines.active():
        anchor = unit.versions.find(line.anchor_id)
        if anchor is None or _is_solvable(unit, blobs, anchor):
            continue
        found.add(line.id)
        if can_rebuild(anchor):
            line.rebuild_due_at, line.rebuild_because = unit.now, CompactionReason.shredding
            for target in unit.targets.open_of_line(line.id):
                if target.state is not TargetState.running and target.strategy is not Strategy.rebuild:
                    record_choice(target, Strategy.rebuild, _UNSOLVABLE, at=unit.now)
    return found


def _is_solvable(unit: Unit, blobs: Blobs, anchor: Version) -> bool:
    prefix = anchor.artefacts_prefix
    if anchor.blob_prefix is None or prefix is None or not blobs.exists_tree(prefix):
        return False
    tree = unit.trees.find(prefix)
    return tree is None or tree.wrapped_key is not None


def _delete_orphans(unit: Unit, blobs: Blobs) -> None:
    """Files of runs that the database does not know any more: nobody else will ever delete them.

    Before the commit, so that a crash leaves none behind, and under its lock, so that nobody else is at it.
    """
    used = {prefix.split("/")[1] for prefix in unit.versions.blob_prefixes() if prefix.startswith("runs/")}
    for name in blobs.names("runs") - used:
        if unit.runs.get(name) is None:
            blobs.delete_tree(f"runs/{name}")


def _write_again(store: Store, journal: Journal) -> None:
    """Entries that the journal itself lost are due once more."""
    known = journal.ids()
    with store.read() as unit:
        missing = unit.journal.written() - known
    if missing:
        with store.write() as unit:
            unit.journal.mark(missing, written_at=None)
