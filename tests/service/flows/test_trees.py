"""What anchors leave on the blob store is sealed, and what can be done with a copy of it."""

import base64
import json
import shutil
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from service.domain.adapters import Strategy, TrainingFormat
from service.domain.errors import Corrupted, Shredded
from service.domain.runs import Lane, RunKind
from service.domain.states import RequestState, VersionState
from service.flows import decide
from service.flows.add_version import VersionSource, add_version
from service.flows.publish import publish_first_anchor
from service.flows.trees import keys
from service.store.blobs import Blobs
from service.store.local_cache import LocalCache
from tests.support.house import ACTOR, RECIPE, House, people, remove, remove_subject


@pytest.fixture
def line(house: House) -> str:
    return house.line("bot", people(6))


def artefacts(house: House, line: str) -> str:
    with house.store.read() as unit:
        return str(unit.versions.get(str(unit.lines.get(line).anchor_id)).artefacts_prefix)


def read(house: House, blobs: Blobs, prefix: str) -> bytes:
    """Read it as a worker would, with the master key and the database of now."""
    cache = LocalCache(house.directory / uuid4().hex, blobs, keys(house.store, house.vault))
    return (cache.materialise(prefix) / "adapter_model.safetensors").read_bytes()


def backup(house: House, place: Path) -> Blobs:
    """A copy of the whole blob store."""
    shutil.copytree(house.directory.parent / "blobs", place)
    return Blobs(place.as_uri())


def test_a_copy_of_the_store_is_useless_once_they_are_shredded(house: House, line: str, tmp_path: Path) -> None:
    prefix, copy = artefacts(house, line), backup(house, tmp_path / "backup")
    house.submit(remove("p0-0"))
    house.serve(line)
    assert read(house, copy, prefix), "updates are solved from it"
    house.rebuild(house.begin_rebuild(line))
    with pytest.raises(Shredded):
        read(house, copy, prefix)
    with house.store.write() as unit:
        row, new = unit.trees.find(prefix), unit.trees.find(artefacts(house, line))
        assert row is not None
        assert new is not None
        row.wrapped_key = new.wrapped_key
    with pytest.raises(Corrupted):
        read(house, copy, prefix)


def test_the_next_anchor_s_can_be_read(house: House, line: str) -> None:
    house.submit(remove("p0-0"), strategy=Strategy.rebuild)
    house.rebuild(house.claim_queued(line, Lane.compact))
    assert read(house, house.blobs, artefacts(house, line))


def test_only_this_line_s_go(house: House, line: str) -> None:
    other = house.line("other", people(3))
    house.submit(remove("p0-0"), adapters=["bot"], strategy=Strategy.rebuild)
    house.rebuild(house.claim_queued(line, Lane.compact))
    assert read(house, house.blobs, artefacts(house, other))


def test_the_audit_chain_says_when(house: House, line: str) -> None:
    house.submit(remove("p0-0"), strategy=Strategy.rebuild)
    house.rebuild(house.claim_queued(line, Lane.compact))
    with house.store.read() as unit:
        noted = [row.data for row in unit.feed.audit_rows(0, 1000) if row.action == "trees.shredded"]
    assert noted == [{"adapter": "bot", "count": 1}]


def test_a_line_that_is_emptied_leaves_none(house: House, line: str) -> None:
    prefix = artefacts(house, line)
    house.submit(*(remove_subject(f"Person {number}") for number in range(6)), strategy=Strategy.rebuild)
    with house.store.write() as unit:
        for request in unit.requests.list(after=None, limit=1).items:
            if request.state is RequestState.awaiting_approval:
                decide.approve(unit, request.id, actor="key_other")
    run_id = house.queued_run(line, Lane.compact)
    assert run_id is not None
    assert house.claim(run_id) is None
    with pytest.raises(Shredded):
        read(house, house.blobs, prefix)


def test_a_version_that_is_refused_never_had_a_key(house: House, line: str) -> None:
    dataset = house.dataset(people(6))
    source = VersionSource(RunKind.train, dataset, None, RECIPE, TrainingFormat())
    with house.store.write() as unit:
        run_id = str(add_version(unit, "bot", source, actor=ACTOR).run_id)
    claimed = house.claim(run_id)
    assert claimed is not None
    house.submit(remove("p0-0"))
    house.serve(line)
    staged = house.staged_anchor()
    with house.store.write() as unit:
        publish_first_anchor(unit, house.vault, claimed, staged)
    with house.store.read() as unit:
        assert unit.versions.of_line(line, VersionState.rejected)
        assert unit.trees.find(staged.artefacts.prefix) is None


def test_what_an_earlier_release_left_unsealed_is_not_said_to_be_destroyed(house: House, line: str) -> None:
    with house.store.write() as unit:
        row = unit.trees.find(artefacts(house, line))
        unit.session.delete(row)
    request = house.submit(remove("p0-0"), strategy=Strategy.rebuild)
    house.rebuild(house.claim_queued(line, Lane.compact))
    with house.store.read() as unit:
        envelope = unit.requests.certificates(request)[0].envelope
    final: dict[str, Any] = json.loads(base64.b64decode(envelope["payload"]))["predicate"]
    destroyed, remaining = ({copy["kind"] for copy in final[f"{fate}_copies"]} for fate in ("destroyed", "remaining"))
    assert destroyed == {"sealed_rows"}
    assert "derived_data" in remaining
    assert "worker_caches" not in remaining
