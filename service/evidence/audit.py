"""The audit hash chain: every row's hash covers its content and the hash of the row before it.

A chain shows that rows were altered, dropped or reordered after they were written, as long as its
newest hash is known from elsewhere, a signed certificate for instance. Whoever may write the whole
table could recompute all of it. It cannot show that what was written was true.
"""

import hashlib
from collections.abc import Iterable, Mapping

from service.domain.errors import Corrupted
from service.evidence.canonical import canonical_json

GENESIS = "0" * 64
"""What the first row's hash covers in place of a previous one."""


def link(previous: str, row: Mapping[str, object]) -> str:
    """The hash of a row: SHA-256, in hex, of the canonical JSON of `[previous, row]`.

    Raises:
        TypeError, ValueError: the row has no JSON form.
    """
    return hashlib.sha256(canonical_json([previous, row])).hexdigest()


def verify(rows: Iterable[tuple[Mapping[str, object], str]], *, previous: str = GENESIS) -> str:
    """Recompute a chain of (row, hash) pairs in order and return its last hash; `previous` if it is empty.

    Raises:
        Corrupted: a row does not follow from those before it; `extra["position"]` counts from 0.
    """
    for position, (row, stored) in enumerate(rows):
        previous = link(previous, row)
        if previous != stored:
            raise Corrupted(
                "The audit chain is broken: a row was altered, dropped or moved.",
                fix="Compare with a backup from this row on.",
                code="audit-broken",
                extra={"position": position},
            )
    return previous
