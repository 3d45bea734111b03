"""Which entries of an uploaded archive are taken: an adapter's two files, and nothing else ever.

Names in the archive only decide whether an entry is refused, ignored, or one of the two files. They
never become a path, so nothing can be written outside the given directory.
"""

import gzip
import re
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from service.domain.errors import InvalidArchive
from service.store.archives.entries import (
    DEFAULT_LIMITS,
    Entry,
    EntryKind,
    Limits,
    Meter,
    broken_archives_are_refused,
)
from service.store.archives.tar import tar_entries
from service.store.archives.zip import zip_entries
from service.store.durable import flush_to_disk

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"

_WANTED = frozenset({CONFIG_FILE, WEIGHTS_FILE})
_IGNORED = frozenset(
    {
        ".gitattributes",
        "LICENSE",
        "README.md",
        "added_tokens.json",
        "chat_template.jinja",
        "chat_template.json",
        "merges.txt",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer.model",
        "tokenizer_config.json",
        "trainer_state.json",
        "vocab.json",
    }
)
# An absolute path, on Unix or with a drive letter.
_LEADS_OUT = re.compile(r"/|[A-Za-z]:")
_PICKLES = (".bin", ".ckpt", ".joblib", ".pickle", ".pkl", ".pt", ".pth")
_FIX_FILES = f"Pack {CONFIG_FILE} and {WEIGHTS_FILE} only, flat or in one folder."


def extract_adapter(archive: Path, into: Path, limits: Limits = DEFAULT_LIMITS) -> None:
    """Unpack an adapter archive into the new directory `into`, flat: exactly the configuration and the weights.

    Raises:
        InvalidArchive: the archive is refused; `into` does not exist then. Codes: `unknown-archive`,
            `broken-archive`, `encrypted-archive`, `too-many-entries`, `archive-too-large`, `compression-bomb`,
            `path-traversal`, `link`, `special-file`, `duplicate-entry`, `nested-folder`, `pickle-weights`,
            `unexpected-file`, `missing-config`, `missing-weights`.
    """
    into.mkdir()
    try:
        _extract(archive, into, limits)
    except BaseException:
        shutil.rmtree(into)
        raise


def _extract(archive: Path, into: Path, limits: Limits) -> None:
    seen: set[tuple[str, ...]] = set()
    folders: set[tuple[str, ...]] = set()
    for number, entry in enumerate(_entries(archive, limits)):
        path = _checked_path(entry, number)
        if entry.kind is EntryKind.directory or _is_clutter(path):
            continue
        if path in seen:
            raise _refusal("duplicate-entry", "occurs twice", number)
        seen.add(path)
        folders.add(path[:-1])
        if len(path) > 2 or len(folders) > 1:
            raise _refusal("nested-folder", "lies in another folder than the rest", number)
        if path[-1] in _WANTED:
            _write(entry.chunks, into / path[-1])
    for name, code in ((CONFIG_FILE, "missing-config"), (WEIGHTS_FILE, "missing-weights")):
        if not (into / name).exists():
            raise InvalidArchive(f"The archive has no {name}.", field="/archive", fix=_FIX_FILES, code=code)


def _entries(archive: Path, limits: Limits) -> Iterator[Entry]:
    meter = Meter(limits, archive.stat().st_size)
    with archive.open("rb") as file, broken_archives_are_refused():
        start = file.read(tarfile.BLOCKSIZE)
        file.seek(0)
        if start.startswith(b"PK"):
            yield from zip_entries(file, meter)
        elif start.startswith(b"\x1f\x8b"):
            with gzip.GzipFile(fileobj=file) as stream:
                yield from tar_entries(cast(BinaryIO, stream), meter)
        elif start[257:262] == b"ustar":
            yield from tar_entries(file, meter)
        else:
            raise InvalidArchive(
                "The file is not an archive of a known kind.",
                field="/archive",
                fix="Upload a .zip, .tar or .tar.gz file.",
                code="unknown-archive",
            )


def _checked_path(entry: Entry, number: int) -> tuple[str, ...]:
    """The segments of an entry's name, without empty and `.` ones."""
    name = entry.name
    segments = tuple(segment for segment in name.split("/") if segment not in ("", "."))
    if _LEADS_OUT.match(name) or ".." in segments or "\\" in name or not name.isprintable():
        raise _refusal("path-traversal", "has a name that could lead out of the folder", number)
    if entry.kind is EntryKind.link:
        raise _refusal("link", "is a link", number)
    if entry.kind is EntryKind.special or (entry.kind is EntryKind.file and not segments):
        raise _refusal("special-file", "is neither a file nor a folder", number)
    if entry.kind is EntryKind.file and not _is_clutter(segments):
        _check_file_name(segments[-1], number)
    return segments


def _check_file_name(name: str, number: int) -> None:
    if name.lower().endswith(_PICKLES):
        raise InvalidArchive(
            f"Entry {number} is a pickle, which can run code when it is loaded.",
            field=f"/archive/entries/{number}",
            fix=f"Save the adapter with safe_serialization=True. {_FIX_FILES}",
            code="pickle-weights",
        )
    if name not in _WANTED | _IGNORED:
        raise _refusal("unexpected-file", "is not part of an adapter", number)


def _is_clutter(path: tuple[str, ...]) -> bool:
    """What macOS adds to archives."""
    return "__MACOSX" in path[:1] or (bool(path) and (path[-1] == ".DS_Store" or path[-1].startswith("._")))


def _refusal(code: str, what: str, number: int) -> InvalidArchive:
    return InvalidArchive(
        f"Entry {number} of the archive {what}.", field=f"/archive/entries/{number}", fix=_FIX_FILES, code=code
    )


def _write(chunks: Iterator[bytes], target: Path) -> None:
    with target.open("xb") as file:
        for chunk in chunks:
            file.write(chunk)
        flush_to_disk(file)
