"""Seal what is derived from training data, every tree under a key of its own, and destroy the keys.

A key is kept by the transaction that takes the tree into use, so what a worker stored in vain was never readable.
"""

from pathlib import Path

from service.flows.staged import StoredTree
from service.flows.vault import Vault
from service.store.blobs import Blobs
from service.store.database import Store, Unit
from service.store.local_cache import KeyOf
from service.store.tables import Line, SealedTree


def seal_tree(vault: Vault, blobs: Blobs, directory: Path, prefix: str) -> StoredTree:
    """Store a directory, encrypted."""
    key, wrapped_key = vault.sealer.new_key(context=prefix)
    return StoredTree(prefix, blobs.put_tree(directory, prefix, key=key), wrapped_key)


def keep_key(unit: Unit, line: Line, tree: StoredTree) -> None:
    """From now on the tree can be read."""
    if tree.wrapped_key is not None:
        unit.trees.add(
            SealedTree(prefix=tree.prefix, line_id=line.id, wrapped_key=tree.wrapped_key, created_at=unit.now)
        )


def shred_derived(unit: Unit, line: Line) -> None:
    """Destroy the keys of all that was derived from a line's training data: its anchor is none any more."""
    prefixes = unit.trees.open_of_line(line.id)
    count = unit.trees.shred_line(line.id, unit.now)
    if count:
        unit.note_erasure("derived_shredded", line=line.id, prefixes=prefixes)
        unit.audit("lethe", "trees.shredded", adapter=line.name, count=count)


def key_of(unit: Unit, vault: Vault, prefix: str) -> bytes | None:
    """The key of a tree; None if it is stored as it is.

    Raises:
        Shredded: it was destroyed.
    """
    row = unit.trees.find(prefix)
    return None if row is None else vault.sealer.unwrap(row.wrapped_key, context=prefix)


def keys(store: Store, vault: Vault) -> KeyOf:
    """Looks keys up when they are needed, so that one that was destroyed is missed at once."""

    def find(prefix: str) -> bytes | None:
        with store.read() as unit:
            return key_of(unit, vault, prefix)

    return find
