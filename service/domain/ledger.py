"""The ledger of a line: the union of all removals and edits since its anchor, in canonical form.

An update is a pure function of (anchor, canonical ledger, engine version), so the order in which
requests arrived cannot matter: the ledger keeps one entry an instance, sorted by instance id.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from service.domain.instances import Content


@dataclass(frozen=True, slots=True)
class Edit:
    """What becomes of one instance: its new content, or None if it is removed."""

    instance_id: str
    new: Content | None


def canonical(edits: Iterable[Edit]) -> tuple[Edit, ...]:
    """The union of edits in order of arrival: the last one an instance wins, sorted by instance id."""
    last = {edit.instance_id: edit for edit in edits}
    return tuple(last[instance_id] for instance_id in sorted(last))


def digest(edits: Iterable[Edit]) -> str:
    """SHA-256 of the canonical ledger, hex. It seeds every random draw of the update."""
    sha = hashlib.sha256()
    for edit in canonical(edits):
        sha.update(hashlib.sha256(edit.instance_id.encode()).digest())
        sha.update(b"-" if edit.new is None else hashlib.sha256(edit.new.to_bytes()).digest())
    return sha.hexdigest()


def apply(contents: Mapping[str, Content], edits: Iterable[Edit]) -> dict[str, Content]:
    """The training set after the ledger: removed instances gone, edited ones replaced, order kept."""
    changed = {edit.instance_id: edit.new for edit in edits}
    after = {instance_id: changed.get(instance_id, content) for instance_id, content in contents.items()}
    return {instance_id: content for instance_id, content in after.items() if content is not None}
