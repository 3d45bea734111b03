"""Put an adapter directory into one archive for upload.

Only the files that Lethe reads go in. The archive is the same bytes for the same files: sorted, without
owners and times.
"""

import tarfile
from collections.abc import Iterable
from pathlib import Path

from service.domain.errors import InvalidArchive

ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")


def pack_adapter(directory: Path, archive: Path) -> Path:
    """Write the adapter in `directory` (PEFT layout) to `archive`, an uncompressed tar file.

    Raises:
        InvalidArchive: the directory lacks a file of the adapter.
    """
    for name in ADAPTER_FILES:
        if not (directory / name).is_file():
            raise InvalidArchive(f"{directory} has no {name}.", field="--adapter", fix=_fix(directory, name))
    return _pack(directory, (directory / name for name in ADAPTER_FILES), archive)


def pack_directory(directory: Path, archive: Path) -> Path:
    """Write every file below `directory` to `archive`, an uncompressed tar file."""
    return _pack(directory, sorted(file for file in directory.rglob("*") if file.is_file()), archive)


def _pack(directory: Path, files: Iterable[Path], archive: Path) -> Path:
    with tarfile.open(archive, "w", format=tarfile.USTAR_FORMAT) as tar:
        for file in files:
            entry = tarfile.TarInfo(file.relative_to(directory).as_posix())
            entry.size, entry.mode = file.stat().st_size, 0o644
            with file.open("rb") as content:
                tar.addfile(entry, content)
    return archive


def _fix(directory: Path, missing: str) -> str:
    if missing.endswith(".safetensors") and (directory / "adapter_model.bin").exists():
        return "Pickled weights are never read. Save again with save_pretrained(…, safe_serialization=True)."
    nested = sorted(file.parent for file in directory.glob(f"*/{missing}"))
    return f"Did you mean {nested[0]}?" if nested else "Name the directory that save_pretrained wrote."
