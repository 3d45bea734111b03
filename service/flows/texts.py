"""Sealing texts into the database and reading them back."""

from collections.abc import Iterable, Mapping, Sequence

from service.domain.ids import new_id
from service.domain.instances import Content
from service.domain.ledger import Edit, canonical
from service.evidence.sealing import Sealed
from service.flows.vault import Vault
from service.store.database import Unit
from service.store.tables import SealedText


def sealed_row(vault: Vault, data: bytes) -> dict[str, object]:
    """A row for the texts table: `data` under a fresh key, bound to the row's id."""
    text_id = new_id("txt")
    sealed = vault.sealer.seal(data, context=text_id)
    return {"id": text_id, "ciphertext": sealed.ciphertext, "wrapped_key": sealed.wrapped_key}


def seal(unit: Unit, vault: Vault, data: bytes) -> str:
    """Store one text; returns its id."""
    row = sealed_row(vault, data)
    unit.texts.add([row])
    return str(row["id"])


def unseal(vault: Vault, row: SealedText) -> bytes:
    """The plain text.

    Raises:
        Shredded: its key was destroyed.
    """
    return vault.sealer.unseal(Sealed(row.ciphertext, row.wrapped_key), context=row.id)


def contents(unit: Unit, vault: Vault, text_ids: Iterable[str]) -> Mapping[str, Content]:
    """The contents behind these text ids."""
    return {key: Content.from_bytes(unseal(vault, row)) for key, row in unit.texts.many(text_ids).items()}


def edits(unit: Unit, vault: Vault, pairs: Sequence[tuple[str, str | None]]) -> tuple[Edit, ...]:
    """Unseal (instance id, text id) pairs into canonical edits."""
    known = contents(unit, vault, {text_id for _, text_id in pairs if text_id is not None})
    return canonical(Edit(instance_id, None if text_id is None else known[text_id]) for instance_id, text_id in pairs)
