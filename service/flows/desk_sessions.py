"""Sessions of the desk: who signed in, until when, and with which rights.

The cookie is random and only its keyed hash is stored. A session of an API key is looked up together with the key and
the token that was typed in, so that it ends at once when the key is revoked or expires, or the token is replaced.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from service.domain.scopes import Scope
from service.flows.vault import Vault
from service.store.database import Store, Unit
from service.store.tables import DeskSession

LONGEST = timedelta(hours=12)
LONGEST_IDLE = timedelta(hours=1)
# How exactly it is remembered when a session was last used: every visit would be a write otherwise.
SEEN_EVERY = timedelta(minutes=1)
_TOKEN_BYTES = 32


@dataclass(frozen=True, slots=True)
class Holder:
    """Who signs in. `lines`: as of a key; None for all. `token_hash`: the token of an API key, if that proved it."""

    actor_id: str
    name: str
    scopes: frozenset[Scope]
    lines: frozenset[str] | None
    token_hash: str | None = None


def sign_in(unit: Unit, vault: Vault, holder: Holder) -> str:
    """Begin a session; its cookie. Sessions that are over are forgotten on the occasion."""
    unit.access.forget_sessions(expired_at=unit.now, unseen_since=unit.now - LONGEST_IDLE)
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    unit.access.add(
        DeskSession(
            id=vault.hashes.session(token),
            actor_id=holder.actor_id,
            name=holder.name,
            token_hash=holder.token_hash,
            scopes=sorted(holder.scopes),
            lines=None if holder.lines is None else sorted(holder.lines),
            created_at=unit.now,
            seen_at=unit.now,
            expires_at=unit.now + LONGEST,
        )
    )
    unit.audit(holder.actor_id, "desk.signed_in")
    return token


def sign_out(unit: Unit, vault: Vault, token: str) -> None:
    """End a session. One that is over already stays so."""
    row = unit.access.session_of_desk(vault.hashes.session(token))
    if row is not None and unit.access.end_session(row.id):
        unit.audit(row.actor_id, "desk.signed_out")


def holder_of(store: Store, vault: Vault, token: str, *, is_use: bool) -> Holder | None:
    """Whose session it is; None if it is over, or never was. `is_use`: whether a person is behind it just now."""
    session_id = vault.hashes.session(token)
    with store.read() as unit:
        row, now = unit.access.session_of_desk(session_id), unit.now
        if row is None or not _goes_on(unit, row, now):
            return None
    if is_use and now - row.seen_at >= SEEN_EVERY:
        with store.write() as unit:
            seen = unit.access.session_of_desk(session_id)
            if seen is not None:
                seen.seen_at = now
    lines = None if row.lines is None else frozenset(row.lines)
    return Holder(row.actor_id, row.name, frozenset(map(Scope, row.scopes)), lines, row.token_hash)


def _goes_on(unit: Unit, row: DeskSession, now: datetime) -> bool:
    if now >= row.expires_at or now - row.seen_at >= LONGEST_IDLE:
        return False
    if row.token_hash is None:
        return True
    found = unit.access.token(row.token_hash)
    if found is None or found[1].revoked_at is not None:
        return False
    return all(one.expires_at is None or now < one.expires_at for one in found)
