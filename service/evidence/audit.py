"""The audit hash chain: every row's hash covers its content and the hash of the row before it.

A chain shows that rows were altered, dropped or reordered after they were written, as long as its
newest hash is known from elsewhere: from a signed head, or from a certificate that pins it. Whoever may write the
whole table could recompute all of it. It cannot show that what was written was true.

A row's number (`seq`) is where it stands in its table; it grows, may have gaps, and is not covered by the hash. It
only helps to say what happened where a hash does not fit.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from service.domain.errors import Corrupted
from service.evidence.canonical import canonical_json

GENESIS = "0" * 64
"""What the first row's hash covers in place of a previous one."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A row as it was exported: what its hash covers, and the hash that it came with."""

    seq: int
    row: Mapping[str, object]
    hash: str

    @classmethod
    def of(cls, *, seq: int, at: datetime, actor: str, action: str, data: Mapping[str, object], hash_: str) -> Self:
        return cls(seq, content(at=at, actor=actor, action=action, data=data), hash_)


@dataclass(frozen=True, slots=True)
class Head:
    """The newest row: its place counted from 1 (0: there is none), its number and its hash."""

    position: int
    seq: int
    hash: str


def content(*, at: datetime, actor: str, action: str, data: Mapping[str, object]) -> dict[str, object]:
    """The members of a row that its hash covers. The time is written in UTC as Python's `isoformat` does."""
    return {"at": at.astimezone(UTC).isoformat(), "actor": actor, "action": action, "data": data}


def link(previous: str, row: Mapping[str, object]) -> str:
    """The hash of a row: SHA-256, in hex, of the canonical JSON of `[previous, row]`.

    Raises:
        TypeError, ValueError: the row has no JSON form.
    """
    return hashlib.sha256(canonical_json([previous, row])).hexdigest()


def verify(entries: Sequence[Entry], *, previous: str = GENESIS, head: Head | None = None) -> str:
    """Recompute a chain and return its last hash; `previous` if it is empty.

    Args:
        head: the chain's signed head, which the last row must be. Without it a cut at the end goes unseen.

    Raises:
        Corrupted: names what is wrong first, at which row; `extra["position"]` counts from 1.
    """
    for index, entry in enumerate(entries):
        if link(previous, entry.row) != entry.hash:
            raise _broken(entries, index, previous, head)
        previous = entry.hash
    if head is not None and previous != head.hash:
        raise _not_the_head(entries, head)
    return previous


def _broken(entries: Sequence[Entry], index: int, previous: str, head: Head | None) -> Corrupted:
    """What most likely happened where row `index` does not follow from the one before.

    A moved row still fits the row it once followed, a row that is in nobody's place does not fit any.
    """
    entry, before = entries[index], entries[index - 1].seq if index else 0
    follows = {link(GENESIS, entry.row): -1} | {link(e.hash, entry.row): at for at, e in enumerate(entries)}
    found = follows.get(entry.hash)
    if found is not None and found >= index:
        return _corrupted("audit-reordered", f"It stands before row {found + 1}, which it follows.", index, entry)
    if found is not None and index:
        where = f"The rows after row {found + 1} and before this one do not belong there."
        return _corrupted("audit-inserted", where, index, entry)
    missing = 0 if head is None else head.position - len(entries)
    if index == 0 and (entry.seq > 1 or missing > 0):
        lost = f"{missing} rows are" if missing > 0 else "Rows are"
        return _corrupted("audit-truncated-start", f"{lost} missing before it.", index, entry)
    if index and (entry.seq > before + 1 or missing > 0):
        return _corrupted("audit-dropped", f"Rows are missing between number {before} and this one.", index, entry)
    told = "It is not what was written" if not index else "It, or the row before it, is not what was written"
    return _corrupted("audit-altered", f"{told}.", index, entry)


def _not_the_head(entries: Sequence[Entry], head: Head) -> Corrupted:
    index, last = len(entries) - 1, entries[-1] if entries else None
    if any(entry.hash == head.hash for entry in entries) or (head.hash == GENESIS and entries):
        return _corrupted(
            "audit-beyond-head", "It comes after the signed head, so nothing vouches for it.", index, last
        )
    if len(entries) < head.position:
        lost = f"{head.position - len(entries)} rows are missing after it, up to number {head.seq}."
        return _corrupted("audit-truncated-end", lost, index, last)
    return _corrupted("audit-altered", "The chain was computed anew: it does not end in the signed head.", index, last)


def _corrupted(code: str, detail: str, index: int, entry: Entry | None) -> Corrupted:
    place = "The chain is empty." if entry is None else f"Row {index + 1} (number {entry.seq}) breaks the chain."
    return Corrupted(
        f"{place} {detail}",
        fix="Compare with an earlier export or a backup from this row on.",
        code=code,
        extra={"position": index + 1, "seq": None if entry is None else entry.seq},
    )
