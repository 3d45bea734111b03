"""The erasure journal: what was erased, kept where a restored database does not take it back.

One blob an entry, never changed: ids and keyed hashes, under a keyed hash of the whole.
"""

import hmac
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from service.domain.errors import Corrupted
from service.store.blobs import Blobs
from service.store.tables.base import Json

_PREFIX = "journal"
_SUFFIX = ".json"


@dataclass(frozen=True, slots=True)
class Entry:
    """What one transaction erased."""

    id: str
    at: datetime
    facts: tuple[Json, ...]

    def to_bytes(self) -> bytes:
        return json.dumps([self.id, self.at.isoformat(), self.facts], sort_keys=True).encode()


class Journal:
    """The journal of one deployment. `proof` makes the keyed hash of an entry."""

    def __init__(self, blobs: Blobs, proof: Callable[[bytes], str]) -> None:
        self._blobs, self._proof = blobs, proof

    def write(self, entry: Entry) -> None:
        """Add an entry; it is there when this returns. Writing one again changes nothing."""
        data = entry.to_bytes()
        with tempfile.TemporaryDirectory() as directory:
            draft = Path(directory) / "entry"
            draft.write_bytes(f"{self._proof(data)}\n".encode() + data)
            self._blobs.put_file(draft, f"{_PREFIX}/{entry.id}{_SUFFIX}")

    def ids(self) -> set[str]:
        """The ids of all entries, which sort by age."""
        return {name.removesuffix(_SUFFIX) for name in self._blobs.names(_PREFIX) if name.endswith(_SUFFIX)}

    def read(self, entry_id: str) -> Entry:
        """An entry.

        Raises:
            NotFound: there is none.
            Corrupted: it was altered, or another master key made it.
        """
        proof, _, data = b"".join(self._blobs.chunks(f"{_PREFIX}/{entry_id}{_SUFFIX}")).partition(b"\n")
        if not hmac.compare_digest(proof, self._proof(data).encode()):
            raise Corrupted(
                "An entry of the erasure journal was altered, or another master key made it.",
                fix="Check that LETHE_MASTER_KEY is this deployment's, and LETHE_JOURNAL_URL its journal.",
                code="journal-broken",
                extra={"entry": entry_id},
            )
        name, at, facts = json.loads(data)
        return Entry(name, datetime.fromisoformat(at), tuple(facts))
