"""Where the master key comes from: the settings, else a file made on first use.

Whoever holds the master key and the database can read every sealed row that is not yet shredded.
Keep it out of the backups of the database.
"""

import base64
import binascii
import os
import secrets
from pathlib import Path

from service.domain.errors import InvalidInput
from service.evidence.derivation import KEY_BYTES


def load_master_key(setting: str | None, home: Path, *, may_create: bool = True) -> bytes:
    """The 256-bit master key: `setting` in base64, else that of `home`/keys/master.key, created if missing.

    Raises:
        InvalidInput: the setting or the file is not a base64 key of 32 bytes, or others may read the file; or
            there is neither, and none may be created.
    """
    if setting is not None:
        return _decode(setting, field="LETHE_MASTER_KEY")
    path = home / "keys" / "master.key"
    if not path.exists():
        if not may_create:
            raise InvalidInput(
                "The deployment's master key is not here.",
                fix="Set LETHE_MASTER_KEY, or LETHE_HOME to the home that has it.",
                code="master-key-missing",
            )
        _create(path)
    if path.stat().st_mode & 0o077:
        raise InvalidInput(
            "The master key file is open to other users.",
            field=str(path),
            fix=f"Run `chmod 600 {path}`.",
            code="master-key-exposed",
        )
    return _decode(path.read_text(encoding="ascii", errors="replace"), field=str(path))


def _decode(text: str, *, field: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise InvalidInput(
            f"The master key is not {KEY_BYTES} bytes in base64.",
            field=field,
            fix="Make one with `openssl rand -base64 32`.",
            code="master-key-malformed",
        )
    return key


def _create(path: Path) -> None:
    """Linking a finished file makes creation atomic: of several processes one wins and all read its key."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(base64.b64encode(secrets.token_bytes(KEY_BYTES)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
