"""API keys and signing keys as tables."""

from collections.abc import Iterable, Sequence

from rich.table import Table

from service.cli.tables.cells import table_of
from service.client.answers.operations import ApiKey, NewApiKey, SigningKey


def keys_table(keys: Sequence[ApiKey]) -> Table:
    table = table_of("key", "name", "lines", "scopes", "state", "last used")
    new = [one.token for one in keys if isinstance(one, NewApiKey) and one.token]
    for one in keys:
        lines = "all" if one.lines is None else ", ".join(one.lines)
        used = f"{one.last_used_at:%Y-%m-%d %H:%M}" if one.last_used_at else "never"
        table.add_row(one.id, one.name, lines, ", ".join(one.scopes), _keystate_of(one), used)
    table.caption = f"key, shown this once: {new[0]}" if new else None
    return table


def _keystate_of(key: ApiKey) -> str:
    if key.revoked_at is not None:
        return f"revoked {key.revoked_at:%Y-%m-%d}"
    return "works" if key.expires_at is None else f"until {key.expires_at:%Y-%m-%d %H:%M}"


def signing_keys_table(keys: Iterable[SigningKey]) -> Table:
    table = table_of("signing key", "for", "state", "since")
    for key in keys:
        state = f"revoked: {key.revocation_reason}" if key.revoked_at else "retired" if key.retired_at else "signs"
        since = key.revoked_at or key.retired_at or key.created_at
        table.add_row(key.kid, key.purpose, state, f"{since:%Y-%m-%d %H:%M}")
    return table
