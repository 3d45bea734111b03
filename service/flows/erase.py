"""Suppress what was erased, and destroy it once no anchor was trained on it any more.

Destroying a text means destroying its key, in the transaction that makes the covering anchor current. With the last
text of an instance goes its name: a client's instance id may be an e-mail address, so a keyed hash takes its place,
by which a later request that names the instance is still recognised. What was derived from an older anchor is files,
which `flows/sweep.py` deletes afterwards.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from service.domain.states import NEVER_SERVED, VersionState
from service.flows import texts
from service.flows.vault import Vault
from service.store.database import Unit
from service.store.tables import LedgerEntry, Line, Target

EVERY_LINE = ""


def suppress(unit: Unit, vault: Vault, line: Line, members: Sequence[Target], entries: Sequence[LedgerEntry]) -> None:
    """Remember keyed hashes of the texts these entries end, and of the subjects that asked to be forgotten.

    A request that named its adapters binds only them; any other binds every line, future ones too.
    """
    for target in members:
        request = unit.requests.get(target.request_id)
        assert request is not None, "targets refer to existing requests"
        scope = EVERY_LINE if request.every_line else line.id
        ended = [entry for entry in entries if entry.target_id == target.id]
        subjects = unit.requests.subjects([request.id])
        found = {"content": _content_hashes(unit, vault, line, ended), "subject": subjects}
        for kind, hashes in found.items():
            unit.datasets.suppress(kind, hashes, line_id=scope, request_id=request.id, now=unit.now)
        listed = {kind: sorted(hashes) for kind, hashes in found.items()}
        unit.note_erasure("suppressed", line=scope, request=request.id, **listed)
    unit.session.flush()


def _content_hashes(unit: Unit, vault: Vault, line: Line, ended: Sequence[LedgerEntry]) -> set[str]:
    """Hashes of the original texts and of every correction before these entries that can still be read."""
    found: set[str] = set()
    for dataset_id in {entry.dataset_id for entry in ended}:
        ids = {entry.instance_id for entry in ended if entry.dataset_id == dataset_id}
        found |= {row.content_hash for row in unit.datasets.some(dataset_id, ids).values()}
    entries = unit.ledger.of_line(line.id)
    gone = {entry.instance_id for entry in entries if entry.text_id is None}
    seqs = {entry.instance_id: entry.seq for entry in ended}
    earlier = [
        entry.text_id
        for entry in entries
        if entry.text_id is not None
        and (entry.seq < seqs.get(entry.instance_id, 0) or (entry in ended and entry.instance_id in gone))
    ]
    left = [row.id for row in unit.texts.many(earlier).values() if row.wrapped_key is not None]
    return found | {vault.hashes.content(content) for content in texts.contents(unit, vault, left).values()}


def erased_by(unit: Unit, vault: Vault, line: Line, targets: Sequence[Target]) -> int:
    """Destroy every text these targets ended, and what the requests said. Returns how many keys went.

    A text stays while another line is still trained on it.
    """
    requests = {target.request_id for target in targets}
    done = [request_id for request_id in requests if not _has_tail(unit, request_id)]
    dead = {operation.text_id for request_id in done for operation in unit.requests.operations(request_id)}
    for dataset_id, ids in _touched(unit, targets, done).items():
        fate = _fate(unit, dataset_id, ids)
        dead |= fate.dead
        unit.datasets.forget_sketches(dataset_id, fate.gone)
        names = {name: vault.hashes.pseudonym(dataset_id, name) for name in fate.gone}
        unit.datasets.rename(dataset_id, names)
        if names:
            unit.note_erasure("forgotten", dataset=dataset_id, instances=sorted(names.values()))
    count = unit.texts.shred(dead, unit.now)
    if count:
        unit.note_erasure("shredded", texts=sorted(dead))
        unit.audit("lethe", "texts.shredded", adapter=line.name, count=count)
    return count


def forget_request(unit: Unit, request_id: str) -> None:
    """A request that ended without an answer: what it said has no purpose any more."""
    said = {operation.text_id for operation in unit.requests.operations(request_id)}
    unanswered = [target.id for target in unit.targets.of_request(request_id) if target.version_id is None]
    said |= {edit.text_id for edit in unit.targets.edits(unanswered) if edit.text_id is not None}
    unit.texts.shred(said, unit.now)


def is_still_sealed(unit: Unit, target: Target) -> bool:
    """Whether a text that the target ended, or its request, can still be unsealed: another line is not done yet."""
    edits = unit.targets.edits([target.id])
    old = {operation.text_id for operation in unit.requests.operations(target.request_id)}
    for dataset_id in {edit.dataset_id for edit in edits}:
        ids = {edit.instance_id for edit in edits if edit.dataset_id == dataset_id}
        old |= {row.text_id for row in unit.datasets.some(dataset_id, ids).values()}
    return any(text.wrapped_key is not None for text in unit.texts.many(old).values())


def _touched(unit: Unit, targets: Sequence[Target], done: Iterable[str]) -> dict[str, set[str]]:
    """Instances by dataset: what the targets edit; for subjects forgotten on every line, all that speaks of them.

    That takes in the holdouts, and datasets that no line was ever trained on.
    """
    found: dict[str, set[str]] = {}
    for edit in unit.targets.edits([target.id for target in targets]):
        found.setdefault(edit.dataset_id, set()).add(edit.instance_id)
    for request_id in done:
        request = unit.requests.get(request_id)
        assert request is not None, "targets refer to existing requests"
        if request.every_line:
            for dataset_id, instance_id in unit.datasets.of_subjects(unit.requests.subjects([request_id])):
                found.setdefault(dataset_id, set()).add(instance_id)
    return found


@dataclass(slots=True)
class _Fate:
    """Texts that no line is trained on any more, and the instances of which none is left."""

    dead: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)


def _fate(unit: Unit, dataset_id: str, instance_ids: set[str]) -> _Fate:
    """What becomes of some instances: of their originals, their corrections, and corrections still asked for."""
    rows = unit.datasets.some(dataset_id, instance_ids)
    entries = [e for e in unit.ledger.of_dataset(dataset_id) if e.instance_id in instance_ids]
    lines = [line.id for line in unit.lines.active() if _trains_on(unit, line, dataset_id)]
    asked = unit.targets.edits_of(dataset_id, instance_ids)
    fate = _Fate()
    for instance_id, row in rows.items():
        mine = [entry for entry in entries if entry.instance_id == instance_id]
        alive = {text_id for line_id in lines for text_id in _alive(row.text_id, mine, line_id)}
        fate.dead |= {row.text_id, *(e.text_id for e in mine if e.text_id is not None)} - alive
        if not alive:
            fate.gone.add(instance_id)
            fate.dead |= {e.text_id for e in asked if e.instance_id == instance_id and e.text_id is not None}
    return fate


def _alive(original: str, entries: Sequence[LedgerEntry], line_id: str) -> Iterable[str]:
    """The texts of one instance that a line is trained on, or will be."""
    mine = [entry for entry in entries if entry.line_id == line_id]
    baked = [entry for entry in mine if entry.baked_id is not None]
    # As in `training_data.edited`: a removal is final.
    current = next((None for entry in baked if entry.text_id is None), baked[-1].text_id if baked else original)
    tail = [entry.text_id for entry in mine if entry.baked_id is None]
    return (text_id for text_id in (current, *tail) if text_id is not None)


def _trains_on(unit: Unit, line: Line, dataset_id: str) -> bool:
    """Whether a line's anchor is trained on a dataset, or a version in preparation that will not be refused."""
    anchor = unit.versions.find(line.anchor_id)
    if anchor is not None and anchor.dataset_id == dataset_id:
        return True
    preparing = unit.versions.of_line(line.id, VersionState.preparing)
    return any(version.dataset_id == dataset_id for version in preparing) and not unit.datasets.suppressed_count(
        dataset_id, line.id
    )


def _has_tail(unit: Unit, request_id: str) -> bool:
    """Whether some line of the request still has to be rebuilt."""
    return any(
        target.id in unit.ledger.targets_with_tail(target.line_id) or target.version_id is None
        for target in unit.targets.of_request(request_id)
        if target.state not in NEVER_SERVED
    )
