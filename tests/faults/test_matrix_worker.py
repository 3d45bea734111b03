"""At every point a worker or its engine child passes it is killed, frozen past its lease, or sees an error.

Whatever happens, each accepted request comes to its end, exactly once, with everything that proves it
(`tests.support.invariants`). `make test` runs a few of the cases, `make test-faults` all of them.
"""

from pathlib import Path

import pytest

from service.domain.runs import RunKind
from service.domain.states import RunState, VersionState
from service.flows.compact import rebuild_now
from tests.faults.conftest import Open
from tests.faults.matrix import ANSWER, COMPACTION, FOLDS, GIVEN_UP, HANDED_BACK, TRAINING, cases
from tests.support.armed import Armed, receipts, until_quiet
from tests.support.deployment import SMALL_RECIPE
from tests.support.house import ACTOR, people, remove
from tests.support.invariants import assert_nothing_lost

pytestmark = pytest.mark.faults

SHORT_RECIPE = SMALL_RECIPE.model_copy(update={"epochs": 2, "erasure_vectors": False})


def versions_of(unit: object, line: str) -> list[int]:
    return [version.number for version in unit.versions.of_line(line)]  # type: ignore[attr-defined]


@pytest.mark.parametrize(("point", "fault", "backend"), cases(ANSWER))
def test_on_the_way_of_an_answer(point: str, fault: str, backend: str, opened: Open) -> None:
    deployment = opened(backend)
    deployment.start("service.control")
    armed = Armed(deployment, "workers", point, fault)
    request = deployment.submit(remove("p0-0"))
    given = receipts(deployment, request)
    armed.see_it_through()
    deployment.until_succeeded(request)
    until_quiet(deployment)
    assert_nothing_lost(deployment, given)
    with deployment.store.read() as unit:
        assert versions_of(unit, unit.lines.list()[0].id) == [1, 2]


@pytest.mark.parametrize(("point", "fault", "backend"), cases(GIVEN_UP, ("sqlite",)))
def test_while_a_failure_is_noted(point: str, fault: str, backend: str, opened: Open, tmp_path: Path) -> None:
    deployment = opened(backend)
    deployment.start("service.control")
    first = f"child.received=raise:builtins.OSError@{tmp_path / 'failed'}"
    armed = Armed(deployment, "workers", point, fault, also=first)
    request = deployment.submit(remove("p0-0"))
    given = receipts(deployment, request)
    armed.see_it_through()
    deployment.until_succeeded(request)
    until_quiet(deployment)
    assert_nothing_lost(deployment, given)


@pytest.mark.parametrize(("point", "fault", "backend"), cases(HANDED_BACK, ("sqlite",)))
def test_while_a_stopping_worker_hands_its_run_back(point: str, fault: str, backend: str, opened: Open) -> None:
    deployment = opened(backend)
    deployment.start("service.control")
    armed = Armed(deployment, "workers", point, fault, also="child.received=hang")
    request = deployment.submit(remove("p0-0"))
    given = receipts(deployment, request)
    deployment.until_running(deployment.targets(request)[0].line_id)
    armed.process.terminate()
    armed.see_it_through()
    armed.process.wait(timeout=30)
    deployment.start("workers")
    deployment.until_succeeded(request)
    until_quiet(deployment)
    assert_nothing_lost(deployment, given)


@pytest.mark.parametrize(("point", "fault", "backend"), cases(COMPACTION))
def test_while_a_rebuild_yields_and_takes_over(point: str, fault: str, backend: str, opened: Open) -> None:
    """The rebuild is hinted at first, so it yields to the answer and has its tail to solve in the end."""
    deployment = opened(backend)
    with deployment.store.write() as unit:
        rebuild = rebuild_now(unit, "bot", actor=ACTOR).id
    request = deployment.submit(remove("p0-0"))
    given = receipts(deployment, request)
    deployment.start("service.control")
    deployment.until(lambda unit: unit.runs.outbox_lag(unit.now) == 0)
    armed = Armed(deployment, "workers", point, fault)
    armed.see_it_through()
    deployment.until_succeeded(request)
    deployment.until(lambda unit: unit.runs.get(rebuild).state is RunState.succeeded)  # type: ignore[union-attr]
    until_quiet(deployment)
    assert_nothing_lost(deployment, given)


@pytest.mark.parametrize(("point", "fault", "backend"), cases(TRAINING, ("sqlite",)))
def test_while_a_first_anchor_is_published(
    point: str, fault: str, backend: str, opened: Open, llama_path: Path
) -> None:
    deployment = opened(backend, has_line=False)
    deployment.start("service.control")
    armed = Armed(deployment, "workers", point, fault)
    version = deployment.begin_line("bot", llama_path, people(4), SHORT_RECIPE)
    armed.see_it_through()
    deployment.until(lambda unit: unit.versions.get(version).state is VersionState.ready)
    until_quiet(deployment)
    assert_nothing_lost(deployment, {})


@pytest.mark.parametrize(("point", "fault", "backend"), cases(FOLDS, ("sqlite",)))
def test_while_a_fold_is_kept(point: str, fault: str, backend: str, opened: Open, llama_path: Path) -> None:
    deployment = opened(backend, has_line=False)
    deployment.start("service.control")
    armed = Armed(deployment, "workers", point, fault)
    version = deployment.begin_line("bot", llama_path, people(2), SHORT_RECIPE, out_of_fold=True)
    armed.see_it_through()
    deployment.until(lambda unit: len(unit.versions.get(version).out_of_fold or ()) == 4)
    until_quiet(deployment)
    assert_nothing_lost(deployment, {})
    with deployment.store.read() as unit:
        kept = [fold["prefix"] for fold in unit.versions.get(version).out_of_fold or ()]
        runs = unit.runs.list(after=None, limit=100).items
    assert len(set(kept)) == 4
    assert sum(run.kind is RunKind.out_of_fold and run.state is RunState.succeeded for run in runs) == 4
