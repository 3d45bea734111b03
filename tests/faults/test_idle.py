"""Leave-group-out adapters on real processes: in idle time only, and no longer than they are wanted."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.domain.runs import Lane, RunKind
from service.domain.states import RunState
from service.store.database import Unit
from service.store.tables import Version
from tests.support.deployment import SMALL_RECIPE, Deployment
from tests.support.house import people, remove

pytestmark = pytest.mark.faults

LONG_RECIPE = SMALL_RECIPE.model_copy(update={"epochs": 150, "erasure_vectors": False})
SHORT_RECIPE = SMALL_RECIPE.model_copy(update={"epochs": 2, "erasure_vectors": False})


@pytest.fixture
def deployment(tmp_path: Path, redis_url: str) -> Iterator[Deployment]:
    deployment = Deployment(tmp_path, redis_url)
    deployment.start("service.control")
    deployment.start("workers")
    yield deployment
    deployment.stop()


def anchor_of(unit: Unit, line: str) -> Version:
    return unit.versions.get(str(unit.lines.get(line).anchor_id))


@pytest.mark.matrix
def test_every_fold_is_trained_while_nothing_else_is_to_be_done(deployment: Deployment, llama_path: Path) -> None:
    line = deployment.trained_line("bot", llama_path, people(2), SHORT_RECIPE, out_of_fold=True)
    deployment.until(lambda unit: "out-of-fold" in supported(unit, line))
    with deployment.store.read() as unit:
        assert len(anchor_of(unit, line).out_of_fold or ()) == 4, "two people make two folds a partition"
        assert {run.state for run in unit.runs.list(after=None, limit=20).items} == {RunState.succeeded}


def test_a_fold_makes_room_for_an_answer_and_goes_on(deployment: Deployment, llama_path: Path) -> None:
    other = deployment.trained_line("other", llama_path, people(8), SHORT_RECIPE)
    line = deployment.trained_line("bot", llama_path, people(8), LONG_RECIPE, out_of_fold=True)
    fold = deployment.until_running(line, Lane.idle, stage="training")
    request = deployment.submit(remove("p0-0"), adapters=["other"])
    deployment.until_succeeded(request)
    deployment.until(lambda unit: anchor_of(unit, line).out_of_fold)
    with deployment.store.read() as unit:
        events = [event for event in unit.feed.events(0, limit=10_000) if event.type.startswith("run.")]
        first = (anchor_of(unit, line).out_of_fold or [])[0]
        assert len(unit.versions.of_line(other)) >= 2
    told = [(event.type, event.data.get("reason") or event.data.get("kind")) for event in events]
    yielded = told.index(("run.requeued", "yielded"))
    answered = max(i for i, one in enumerate(told) if one == ("run.succeeded", RunKind.influence))
    kept = told.index(("run.succeeded", RunKind.out_of_fold))
    assert yielded < answered < kept
    claim = int(first["prefix"].removeprefix(f"runs/{fold.id}/").removesuffix("/fold"))
    assert claim >= 2, "a later claim of the same run went on"


@pytest.mark.matrix
def test_an_erasure_of_the_lines_own_data_cancels_it(deployment: Deployment, llama_path: Path) -> None:
    line = deployment.trained_line("bot", llama_path, people(8), LONG_RECIPE, out_of_fold=True)
    fold = deployment.until_running(line, Lane.idle, stage="training")
    request = deployment.submit(remove("p0-0"))
    deployment.until_succeeded(request)
    deployment.until(lambda unit: unit.runs.get(fold.id).swept)  # type: ignore[union-attr]
    stored = deployment.settings.home.glob(f"blobs/runs/{fold.id}/**/*")
    assert not any(path.is_file() for path in stored)
    with deployment.store.read() as unit:
        run = unit.runs.get(fold.id)
        assert run is not None
        assert run.state is RunState.canceled
        assert unit.runs.queued(line, Lane.idle) is None
        assert unit.runs.running(line, Lane.idle) is None


def supported(unit: Unit, line: str) -> set[str]:
    return {capability["name"] for capability in anchor_of(unit, line).capabilities or () if capability["supported"]}
