"""Take an uploaded adapter in: unpack, check against the line, store. Any refusal leaves nothing behind.

Which base an adapter was trained on is decided twice: by the name in its configuration, and, where this
process can read the line's base model, by the shapes of its weights.
"""

import re
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from uuid6 import uuid7

from service.domain.adapters import LoraSpec, Recipe
from service.domain.errors import InvalidArchive, InvalidInput
from service.store.adapter_check import take_adapter
from service.store.archives.extract import extract_record
from service.store.blobs import Blobs

_HUB_CACHE = re.compile(r"models--(?:[^/]+--)?([^/]+)/snapshots/[0-9a-f]+")


@dataclass(frozen=True, slots=True)
class ImportUpload:
    """What a client sent: the adapter's archive and, if there is one, that of its training record."""

    archive: BinaryIO
    record: BinaryIO | None


@dataclass(frozen=True, slots=True)
class StoredImport:
    """Blob prefixes of a checked upload, and the form of the adapter."""

    archive: str
    record: str | None
    lora: LoraSpec


def take_import(blobs: Blobs, upload: ImportUpload, *, base_path: str, recipe: Recipe | None) -> StoredImport:
    """Check an upload for a line on the base model at `base_path`, and store it.

    Raises:
        InvalidArchive, Unsupported: see `take_adapter` and `extract_record`; `wrong-base` if another
            base model is named.
        InvalidInput: `recipe-mismatch`: the recipe would train an adapter of another form.
    """
    with tempfile.TemporaryDirectory(prefix="lethe-import-") as name:
        directory = Path(name)
        adapter, record = directory / "adapter", directory / "record"
        base = Path(base_path)
        checked = take_adapter(
            _on_disk(upload.archive, directory / "archive"), adapter, base=base if base.is_dir() else None
        )
        _check_named_base(checked.base_model, base_path)
        if recipe is not None:
            _check_recipe(recipe.lora, checked.spec)
        if upload.record is not None:
            extract_record(_on_disk(upload.record, directory / "record-archive"), record)
        return _stored(blobs, adapter, record if upload.record is not None else None, checked.spec)


def discard(blobs: Blobs, stored: StoredImport) -> None:
    """Delete an upload that no version will refer to."""
    for prefix in filter(None, (stored.archive, stored.record)):
        blobs.delete_tree(prefix)


def _stored(blobs: Blobs, adapter: Path, record: Path | None, spec: LoraSpec) -> StoredImport:
    prefix = f"uploads/{uuid7().hex}"
    stored = StoredImport(f"{prefix}/adapter", None if record is None else f"{prefix}/record", spec)
    try:
        blobs.put_tree(adapter, stored.archive)
        if record is not None:
            blobs.put_tree(record, f"{prefix}/record")
    except BaseException:
        with suppress(OSError):
            discard(blobs, stored)
        raise
    return stored


def _on_disk(upload: BinaryIO, path: Path) -> Path:
    upload.seek(0)
    with path.open("xb") as file:
        shutil.copyfileobj(upload, file)
    return path


def _check_named_base(named: str | None, base_path: str) -> None:
    """Two paths name one model if they end alike: trainers and servers keep it in different places."""
    if named is not None and _model_name(named) != _model_name(base_path):
        raise InvalidArchive(
            "The adapter's configuration names another base model than the line's.",
            field="/archive/adapter_config.json/base_model_name_or_path",
            fix="Import it into a line on that base model. If it is the same one under another name, correct the "
            "configuration.",
            code="wrong-base",
        )


def _model_name(path: str) -> str:
    """The last part of a path or Hub id; of a snapshot in a Hub cache, the model's name. Case does not count."""
    cached = _HUB_CACHE.search(path)
    return (cached[1] if cached else PurePosixPath(path).name).casefold()


def _check_recipe(recipe: LoraSpec, spec: LoraSpec) -> None:
    differing = [
        name
        for name, same in (
            ("r", recipe.r == spec.r),
            ("alpha", recipe.alpha == spec.alpha),
            ("target_modules", set(recipe.target_modules) == set(spec.target_modules)),
        )
        if not same
    ]
    if differing:
        raise InvalidInput(
            f"The recipe would train an adapter that differs in {', '.join(differing)} from the uploaded one.",
            field="/source/recipe/lora",
            fix="Give the values that the adapter was trained with.",
            code="recipe-mismatch",
            extra={"adapter": spec.model_dump(mode="json")},
        )
