"""Delete bytes that nothing refers to any more. Rows say what is due, so a pass may die anywhere."""

from collections.abc import Iterator
from dataclasses import dataclass

from service.domain.states import VersionState
from service.failpoints import reach
from service.store.blobs import Blobs
from service.store.database import Store, Unit
from service.store.tables import Version

_UPLOADS = ("archive", "record")


@dataclass(frozen=True, slots=True)
class Waste:
    """A blob prefix to delete, and the version whose reference to it goes with it."""

    prefix: str
    version_id: str
    reference: str


def sweep(store: Store, blobs: Blobs) -> int:
    """Delete what is due; returns how many prefixes went.

    That is: files of withdrawn and rejected versions, what was derived from anchors that are none any
    more, uploads that were imported or refused, whatever finished runs left unpublished, the drafts of
    writers that died, and what the database's own log still tells of rows as they were. The audit chain
    notes when what was made from a version's training data went.
    """
    with store.read() as unit:
        waste = list(_waste(unit))
        runs = [(run.id, run.fence) for run in unit.runs.unswept()]
    for item in waste:
        blobs.delete_tree(item.prefix)
        reach("sweep.deleted")
        with store.write("forget_copy") as unit:
            version = unit.versions.get(item.version_id)
            _forget(version, item)
            name, copy = unit.lines.get(version.line_id).name, item.reference
            unit.audit("lethe", "copy.deleted", adapter=name, version=version.number, copy=copy)
    for run_id, fence in runs:
        _sweep_run(store, blobs, run_id, fence)
    blobs.sweep()
    store.drop_history()
    return len(waste)


def _waste(unit: Unit) -> Iterator[Waste]:
    # Versions before lines: PostgreSQL shows each statement what is committed by then, and an anchor that is published
    # in between must not look like one that is none any more.
    versions = unit.versions.with_files()
    anchors = {line.anchor_id for line in unit.lines.list()}
    for version in versions:
        if version.state is VersionState.preparing:
            continue
        if version.blob_prefix and version.state in (VersionState.withdrawn, VersionState.rejected):
            yield Waste(version.blob_prefix, version.id, "blob_prefix")
        # Before the artefacts: as long as a version has those, the next pass looks at it again.
        for fold in version.out_of_fold or ():
            if version.id not in anchors:
                yield Waste(fold["prefix"], version.id, "out_of_fold")
        if version.artefacts_prefix and version.id not in anchors:
            yield Waste(version.artefacts_prefix, version.id, "artefacts_prefix")
        for upload in _UPLOADS:
            if version.source.get(upload):
                yield Waste(version.source[upload], version.id, upload)


def _forget(version: Version, item: Waste) -> None:
    if item.reference in _UPLOADS:
        version.source = {**version.source, item.reference: None}
    elif item.reference == "out_of_fold":
        version.out_of_fold = [fold for fold in version.out_of_fold or () if fold["prefix"] != item.prefix]
    else:
        setattr(version, item.reference, None)


def _sweep_run(store: Store, blobs: Blobs, run_id: str, fence: int) -> None:
    """Claims that did not publish may have stored trees before they lost their lease."""
    with store.read() as unit:
        used = unit.versions.blob_prefixes()
    claims = [f"runs/{run_id}/{claim}" for claim in range(1, fence + 1)]
    unused = [prefix for prefix in claims if not any(path.startswith(f"{prefix}/") for path in used)]
    with store.write() as unit:
        for prefix in unused:
            unit.trees.shred(prefix, unit.now)
    for prefix in unused:
        blobs.delete_tree(prefix)
    with store.write() as unit:
        unit.runs.mark_swept(run_id)
