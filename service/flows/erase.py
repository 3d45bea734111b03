"""Suppress what was erased, and destroy its keys once no anchor was trained on it any more."""

from collections.abc import Sequence

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
        hashes = _content_hashes(unit, vault, line, ended)
        unit.datasets.suppress("content", hashes, line_id=scope, request_id=request.id, now=unit.now)
        subjects = [op.subject_hash for op in unit.requests.operations(request.id) if op.subject_hash]
        unit.datasets.suppress("subject", subjects, line_id=scope, request_id=request.id, now=unit.now)
    unit.session.flush()


def _content_hashes(unit: Unit, vault: Vault, line: Line, ended: Sequence[LedgerEntry]) -> set[str]:
    """Hashes of the original texts and of every correction that came before these entries."""
    found: set[str] = set()
    for dataset_id in {entry.dataset_id for entry in ended}:
        ids = {entry.instance_id for entry in ended if entry.dataset_id == dataset_id}
        found |= {row.content_hash for row in unit.datasets.some(dataset_id, ids).values()}
    seqs = {entry.instance_id: entry.seq for entry in ended}
    earlier = [
        entry.text_id
        for entry in unit.ledger.of_line(line.id)
        if entry.text_id is not None and entry.seq < seqs.get(entry.instance_id, 0)
    ]
    return found | {vault.hashes.content(content) for content in texts.contents(unit, vault, earlier).values()}


def erased_by(unit: Unit, line: Line, targets: Sequence[Target]) -> int:
    """Shred every text these targets ended, and what the requests said. Returns how many keys went.

    A text stays while another line is still trained on it.
    """
    dead: set[str] = set()
    edits = unit.targets.edits([target.id for target in targets])
    for dataset_id in {edit.dataset_id for edit in edits}:
        ids = {edit.instance_id for edit in edits if edit.dataset_id == dataset_id}
        dead |= _dead_texts(unit, dataset_id, ids)
    for request_id in {target.request_id for target in targets}:
        if not _has_tail(unit, request_id):
            dead |= {operation.text_id for operation in unit.requests.operations(request_id)}
    count = unit.texts.shred(dead, unit.now)
    if count:
        unit.audit("lethe", "texts.shredded", adapter=line.name, count=count)
    return count


def _dead_texts(unit: Unit, dataset_id: str, instance_ids: set[str]) -> set[str]:
    """Texts of these instances that no line is trained on: originals and superseded corrections."""
    rows = unit.datasets.some(dataset_id, instance_ids)
    entries = [e for e in unit.ledger.of_dataset(dataset_id) if e.instance_id in instance_ids]
    alive: set[str] = set()
    for line in unit.lines.active():
        anchor = unit.versions.find(line.anchor_id)
        if anchor is None or anchor.dataset_id != dataset_id:
            continue
        mine = [entry for entry in entries if entry.line_id == line.id]
        for instance_id, row in rows.items():
            baked = [e for e in mine if e.instance_id == instance_id and e.baked_id is not None]
            current = baked[-1].text_id if baked else row.text_id
            tail = [e.text_id for e in mine if e.instance_id == instance_id and e.baked_id is None]
            alive |= {text_id for text_id in (current, *tail) if text_id is not None}
    every = {row.text_id for row in rows.values()} | {e.text_id for e in entries if e.text_id is not None}
    return every - alive


def _has_tail(unit: Unit, request_id: str) -> bool:
    """Whether some line of the request still has to be rebuilt."""
    return any(
        target.id in unit.ledger.targets_with_tail(target.line_id) or target.version_id is None
        for target in unit.targets.of_request(request_id)
    )
