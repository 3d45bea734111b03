"""Which entries of an uploaded archive are taken: two files of an adapter or of a training record, and
nothing else ever.

Names in the archive only decide whether an entry is refused, ignored, or one of the two files. They
never become a path, so nothing can be written outside the given directory.
"""

import gzip
import re
import shutil
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
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

RECORD_FILE = "record.json"
MOMENTS_FILE = "record.safetensors"


@dataclass(frozen=True, slots=True)
class _Contents:
    """What an archive must hold: file names, each with the code of its absence. Ignored files may be there."""

    field: str
    wanted: Mapping[str, str]
    ignored: frozenset[str] = frozenset()

    @property
    def fix(self) -> str:
        return f"Pack {' and '.join(self.wanted)} only, flat or in one folder."


_BESIDE_ADAPTERS = frozenset(
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
_ADAPTER = _Contents("/archive", {CONFIG_FILE: "missing-config", WEIGHTS_FILE: "missing-weights"}, _BESIDE_ADAPTERS)
_RECORD = _Contents("/training_record", {RECORD_FILE: "missing-record", MOMENTS_FILE: "missing-record"})


def extract_adapter(archive: Path, into: Path, limits: Limits = DEFAULT_LIMITS) -> None:
    """Unpack an adapter archive into the new directory `into`, flat: exactly the configuration and the weights.

    Raises:
        InvalidArchive: the archive is refused; `into` does not exist then. Codes: `unknown-archive`,
            `broken-archive`, `encrypted-archive`, `too-many-entries`, `archive-too-large`, `compression-bomb`,
            `path-traversal`, `link`, `special-file`, `duplicate-entry`, `nested-folder`, `pickle-weights`,
            `unexpected-file`, `missing-config`, `missing-weights`.
    """
    _extract_or_nothing(archive, into, limits, _ADAPTER)


def extract_record(archive: Path, into: Path, limits: Limits = DEFAULT_LIMITS) -> None:
    """Unpack a training record in the layout that Lethe's own training leaves behind.

    Raises:
        InvalidArchive: as `extract_adapter`, with `missing-record` for absent files.
    """
    _extract_or_nothing(archive, into, limits, _RECORD)


def _extract_or_nothing(archive: Path, into: Path, limits: Limits, contents: _Contents) -> None:
    into.mkdir()
    try:
        _extract(archive, into, limits, contents)
    except BaseException:
        shutil.rmtree(into)
        raise


def _extract(archive: Path, into: Path, limits: Limits, contents: _Contents) -> None:
    seen: set[tuple[str, ...]] = set()
    folders: set[tuple[str, ...]] = set()
    for number, entry in enumerate(_entries(archive, limits, contents)):
        path = _checked_path(entry, number, contents)
        if entry.kind is EntryKind.directory or _is_clutter(path):
            continue
        if path in seen:
            raise _refusal("duplicate-entry", "occurs twice", number, contents)
        seen.add(path)
        folders.add(path[:-1])
        if len(path) > 2 or len(folders) > 1:
            raise _refusal("nested-folder", "lies in another folder than the rest", number, contents)
        if path[-1] in contents.wanted:
            _write(entry.chunks, into / path[-1])
    for name, code in contents.wanted.items():
        if not (into / name).exists():
            raise InvalidArchive(f"The archive has no {name}.", field=contents.field, fix=contents.fix, code=code)


def _entries(archive: Path, limits: Limits, contents: _Contents) -> Iterator[Entry]:
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
                field=contents.field,
                fix="Upload a .zip, .tar or .tar.gz file.",
                code="unknown-archive",
            )


def _checked_path(entry: Entry, number: int, contents: _Contents) -> tuple[str, ...]:
    """The segments of an entry's name, without empty and `.` ones."""
    name = entry.name
    segments = tuple(segment for segment in name.split("/") if segment not in ("", "."))
    if _LEADS_OUT.match(name) or ".." in segments or "\\" in name or not name.isprintable():
        raise _refusal("path-traversal", "has a name that could lead out of the folder", number, contents)
    if entry.kind is EntryKind.link:
        raise _refusal("link", "is a link", number, contents)
    if entry.kind is EntryKind.special or (entry.kind is EntryKind.file and not segments):
        raise _refusal("special-file", "is neither a file nor a folder", number, contents)
    if entry.kind is EntryKind.file and not _is_clutter(segments):
        _check_file_name(segments[-1], number, contents)
    return segments


def _check_file_name(name: str, number: int, contents: _Contents) -> None:
    if name.lower().endswith(_PICKLES):
        raise InvalidArchive(
            f"Entry {number} is a pickle, which can run code when it is loaded.",
            field=f"{contents.field}/entries/{number}",
            fix=f"Save the adapter with safe_serialization=True. {contents.fix}",
            code="pickle-weights",
        )
    if name not in contents.wanted and name not in contents.ignored:
        raise _refusal("unexpected-file", "does not belong there", number, contents)


def _is_clutter(path: tuple[str, ...]) -> bool:
    """What macOS adds to archives."""
    return "__MACOSX" in path[:1] or (bool(path) and (path[-1] == ".DS_Store" or path[-1].startswith("._")))


def _refusal(code: str, what: str, number: int, contents: _Contents) -> InvalidArchive:
    return InvalidArchive(
        f"Entry {number} of the archive {what}.",
        field=f"{contents.field}/entries/{number}",
        fix=contents.fix,
        code=code,
    )


def _write(chunks: Iterator[bytes], target: Path) -> None:
    with target.open("xb") as file:
        for chunk in chunks:
            file.write(chunk)
        flush_to_disk(file)
