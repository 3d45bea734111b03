"""Keep an MLflow model registry showing the adapter lines as they are.

A pass compares each line with its registered model and writes what differs; the feed only tells which lines to look
at. So passes may be cut off anywhere, repeated, or made by several processes, and the registry may be away for long.
"""

import logging

import httpx

from service.control.mlflow.difference import OWNER_TAG, VERSION_TAG, Line, Model, Shown, difference
from service.control.mlflow.registry import Registry, RegistryError
from service.domain.states import VersionState
from service.store import tables
from service.store.database import Store, Unit

log = logging.getLogger(__name__)

BATCH = 1000


class Mirror:
    """Shows the lines of a deployment, which clients reach at `url`, in a registry."""

    def __init__(self, store: Store, registry: Registry, url: str) -> None:
        self._store = store
        self._registry = registry
        self._url = url
        self._seen: int | None = None
        self._behind: set[str] = set()

    def catch_up(self) -> int:
        """One pass; returns how many lines were changed in the registry. Without the registry they wait."""
        self._note_changed()
        changed = 0
        for name in sorted(self._behind):
            try:
                if self._show(name):
                    # It stays behind, to be looked at once more: another process may have been at it too.
                    changed += 1
                else:
                    self._behind.discard(name)
            except httpx.TransportError:
                log.warning("the MLflow registry is away; %d lines wait", len(self._behind))
                break
            except RegistryError as error:
                log.warning("the MLflow registry refused line %s: %s", name, error)
        return changed

    def _note_changed(self) -> None:
        """Every line the first time, then those that something happened to."""
        with self._store.read() as unit:
            if self._seen is None:
                self._seen = unit.feed.last_seq()
                self._behind = {line.name for line in unit.lines.list()}
                return
            while events := unit.feed.events(self._seen, limit=BATCH):
                self._seen = events[-1].seq
                self._behind |= {event.adapter for event in events if event.adapter is not None}

    def _show(self, name: str) -> bool:
        """Whether something had to be changed."""
        with self._store.read() as unit:
            row = unit.lines.by_name(name)
            assert row is not None, "lines are never deleted"
            line = line_of(unit, row, self._url)
        model = self._registry.model(name)
        if model is None:
            if not line.versions:
                return False
            self._registry.create_model(name, line.tags)
            model = Model(line.tags, {}, {})
        elif OWNER_TAG not in model.tags:
            log.warning("the MLflow registry has a model %s that is not Lethe's; it is left alone", name)
            return False
        return self._write(name, line, model)

    def _write(self, name: str, line: Line, model: Model) -> bool:
        registry, changes = self._registry, difference(line, model)
        for number in changes.delete:
            registry.delete_version(name, number)
        for alias in changes.drop:
            registry.drop(name, alias)
        for key, value in changes.tag.items():
            registry.tag_model(name, key, value)
        for number, tags in changes.retag.items():
            for key, value in tags.items():
                registry.tag_version(name, number, key, value)
        numbers = dict(changes.numbers)
        for version in changes.create:
            shown = line.versions[version]
            numbers[version] = registry.create_version(name, shown.source, shown.tags)
        for alias, version in changes.point.items():
            registry.point(name, alias, numbers[version])
        return bool(changes)


def line_of(unit: Unit, row: tables.Line, url: str) -> Line:
    """A line as it is now. Versions in service only: the others cannot be downloaded."""
    versions = unit.versions.of_line(row.id)
    names = {version.id: f"v{version.number}" for version in versions}
    ready = [version for version in versions if version.state is VersionState.ready]
    base = {"lethe.base_model": row.base_path, "lethe.base_digest": row.base_digest}
    return Line(
        tags=_known({OWNER_TAG: row.name, "lethe.erasure_epoch": row.ledger_head, **base}),
        versions={
            names[version.id]: Shown(
                # MLflow takes no source that names a host of its own choosing, so the download is told in a tag.
                source=f"hf://{row.name}/{names[version.id]}",
                tags=_known(
                    {
                        VERSION_TAG: names[version.id],
                        "lethe.url": f"{url}/v1/adapters/{row.name}/versions/{names[version.id]}/archive",
                        "lethe.digest": version.digest,
                        "lethe.kind": version.kind,
                        "lethe.erasure_epoch": version.ledger_seq,
                        "lethe.claim_level": version.claim_level,
                        "lethe.parent": names.get(str(version.parent_id)),
                        "lethe.anchor": names.get(str(version.anchor_id)),
                        **base,
                    }
                ),
            )
            for version in ready
        },
        aliases={
            alias.name: names[alias.version_id]
            for alias in unit.lines.aliases(row.id)
            if alias.version_id in {version.id for version in ready}
        },
    )


def _known(values: dict[str, object]) -> dict[str, str]:
    return {key: str(value) for key, value in values.items() if value is not None}
