"""API keys: make, rotate, revoke, and see to it that there is a first one. Only keyed hashes are stored."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from service.domain.errors import Conflict, Forbidden, NotFound
from service.domain.ids import new_id
from service.domain.scopes import EVERY_SCOPE, Scope
from service.evidence.tokens import new_token
from service.flows.four_eyes import person_of
from service.flows.vault import Vault
from service.store.database import Unit
from service.store.tables import ApiKey, ApiToken

FIRST_KEY = "first admin key"


@dataclass(frozen=True, slots=True)
class KeyOrder:
    """A key to be made. `lines`: the adapter lines it is bound to; None for all."""

    name: str
    scopes: frozenset[Scope]
    lines: Sequence[str] | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Rotated:
    """A key's new token, which is never shown again. `previous_until`: when those before stop working."""

    key: ApiKey
    token: str
    previous_until: datetime


def create_key(
    unit: Unit, vault: Vault, order: KeyOrder, *, granted: frozenset[Scope], actor: str
) -> tuple[ApiKey, str]:
    """A new key and its token, which is never shown again.

    Raises:
        Forbidden: it would hold scopes its creator (`granted`) does not have.
    """
    _check_scopes(order.scopes, granted, field="/scopes")
    token = new_token()
    return _add(unit, vault, order, token, actor=actor), token


def rotate_key(
    unit: Unit, vault: Vault, key_id: str, *, overlap: timedelta, granted: frozenset[Scope], actor: str
) -> Rotated:
    """Give a key a new token. Those before work for `overlap` at most; name, scopes, lines and expiry stay.

    Raises:
        NotFound: there is no such key.
        Forbidden: the key holds scopes that the caller (`granted`) does not have, who would get them by its token.
        Conflict: the key is revoked or has expired.
    """
    key = _locked(unit, key_id)
    _check_scopes(map(Scope, key.scopes), granted, field="key_id")
    if key.revoked_at is not None or (key.expires_at is not None and key.expires_at <= unit.now):
        raise Conflict("The key is revoked or has expired.", fix="Make a new key.", code="key-ended")
    until = unit.now + overlap
    for before in unit.access.tokens(key.id):
        before.expires_at = until if before.expires_at is None else min(before.expires_at, until)
    token = new_token()
    unit.access.add(_token_row(unit, vault, key, token))
    unit.audit(actor, "key.rotated", key=key.id, overlap_s=overlap.total_seconds())
    return Rotated(key, token, until)


def revoke_key(unit: Unit, key_id: str, *, actor: str) -> ApiKey:
    """Refuse the key from now on, whichever token is sent for it. Revoking it again changes nothing.

    Raises:
        NotFound: there is no such key.
    """
    key = _locked(unit, key_id)
    if key.revoked_at is None:
        key.revoked_at = unit.now
        unit.audit(actor, "key.revoked", key=key.id)
    return key


def ensure_admin_key(unit: Unit, vault: Vault, token: str | None) -> str | None:
    """Make sure that a first key with every scope exists: `token` if given, else a new one.

    Returns the new token, to be printed once, or None if nothing has to be told.
    """
    if token is not None:
        if unit.access.token(vault.hashes.api_key(token)) is None:
            _add(unit, vault, KeyOrder(FIRST_KEY, EVERY_SCOPE), token, actor="lethe")
        return None
    if unit.access.any_key():
        return None
    token = new_token()
    _add(unit, vault, KeyOrder(FIRST_KEY, EVERY_SCOPE), token, actor="lethe")
    return token


def _check_scopes(wanted: Iterable[Scope], granted: frozenset[Scope], *, field: str) -> None:
    excess = sorted(frozenset(wanted) - granted)
    if excess:
        raise Forbidden(
            "A key can only hand on scopes that it holds.",
            field=field,
            fix="Use a key that holds the scopes listed in `scopes`, or leave them out.",
            code="scope-not-held",
            extra={"scopes": excess},
        )


def _locked(unit: Unit, key_id: str) -> ApiKey:
    key = unit.access.key(key_id, lock=True)
    if key is None:
        raise NotFound("There is no such key.", field="key_id", code="unknown-key")
    return key


def _add(unit: Unit, vault: Vault, order: KeyOrder, token: str, *, actor: str) -> ApiKey:
    key = ApiKey(
        id=new_id("key"),
        name=order.name,
        scopes=sorted(order.scopes),
        lines=None if order.lines is None else sorted(set(order.lines)),
        person=person_of(unit, actor),
        created_at=unit.now,
        expires_at=order.expires_at,
    )
    unit.access.add(key)
    unit.session.flush()
    unit.access.add(_token_row(unit, vault, key, token))
    unit.audit(actor, "key.created", key=key.id, scopes=key.scopes)
    return key


def _token_row(unit: Unit, vault: Vault, key: ApiKey, token: str) -> ApiToken:
    return ApiToken(token_hash=vault.hashes.api_key(token), key_id=key.id, created_at=unit.now)
