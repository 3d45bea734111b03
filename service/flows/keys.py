"""API keys: make, revoke, and see to it that there is a first one. Only keyed hashes are stored."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from service.domain.errors import Forbidden, NotFound
from service.domain.ids import new_id
from service.domain.scopes import EVERY_SCOPE, Scope
from service.evidence.tokens import new_token
from service.flows.vault import Vault
from service.store.database import Unit
from service.store.tables import ApiKey

FIRST_KEY = "first admin key"


@dataclass(frozen=True, slots=True)
class KeyOrder:
    """A key to be made. `lines`: the adapter lines it is bound to; None for all."""

    name: str
    scopes: frozenset[Scope]
    lines: Sequence[str] | None = None
    expires_at: datetime | None = None


def create_key(
    unit: Unit, vault: Vault, order: KeyOrder, *, granted: frozenset[Scope], actor: str
) -> tuple[ApiKey, str]:
    """A new key and its token, which is never shown again.

    Raises:
        Forbidden: it would hold scopes its creator (`granted`) does not have.
    """
    excess = sorted(order.scopes - granted)
    if excess:
        raise Forbidden(
            "A key can only hand on scopes that it holds.",
            field="/scopes",
            fix="Leave out the scopes listed in `scopes`.",
            code="scope-not-held",
            extra={"scopes": excess},
        )
    token = new_token()
    return _add(unit, vault, order, token, actor=actor), token


def revoke_key(unit: Unit, key_id: str, *, actor: str) -> ApiKey:
    """Refuse the key from now on. Revoking it again changes nothing.

    Raises:
        NotFound: there is no such key.
    """
    row = unit.access.key(key_id)
    if row is None:
        raise NotFound("There is no such key.", field="key_id", code="unknown-key")
    if row.revoked_at is None:
        row.revoked_at = unit.now
        unit.audit(actor, "key.revoked", key=row.id)
    return row


def ensure_admin_key(unit: Unit, vault: Vault, token: str | None) -> str | None:
    """Make sure that a first key with every scope exists: `token` if given, else a new one.

    Returns the new token, to be printed once, or None if nothing has to be told.
    """
    if token is not None:
        if unit.access.key_by_hash(vault.hashes.api_key(token)) is None:
            _add(unit, vault, KeyOrder(FIRST_KEY, EVERY_SCOPE), token, actor="lethe")
        return None
    if unit.access.any_key():
        return None
    token = new_token()
    _add(unit, vault, KeyOrder(FIRST_KEY, EVERY_SCOPE), token, actor="lethe")
    return token


def _add(unit: Unit, vault: Vault, order: KeyOrder, token: str, *, actor: str) -> ApiKey:
    row = ApiKey(
        id=new_id("key"),
        name=order.name,
        token_hash=vault.hashes.api_key(token),
        scopes=sorted(order.scopes),
        lines=None if order.lines is None else sorted(set(order.lines)),
        created_at=unit.now,
        expires_at=order.expires_at,
    )
    unit.access.add(row)
    unit.audit(actor, "key.created", key=row.id, scopes=row.scopes)
    return row
