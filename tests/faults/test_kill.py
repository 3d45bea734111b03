"""Whatever dies in mid-run: the request succeeds, and exactly once."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from service.domain.adapters import BaseModelRef, Policy, TrainingFormat
from service.domain.runs import Lane, RunKind
from service.domain.states import RequestState
from service.flows.add_version import VersionSource, add_version
from service.flows.compact import rebuild_now
from service.flows.lines import create_line
from tests.support.deployment import SMALL_RECIPE, Deployment
from tests.support.house import ACTOR, people, remove

pytestmark = pytest.mark.faults

LONG_RECIPE = SMALL_RECIPE.model_copy(update={"epochs": 150})


@pytest.fixture
def deployment(tmp_path: Path, redis_url: str) -> Iterator[Deployment]:
    deployment = Deployment(tmp_path, redis_url)
    deployment.start("service.control")
    yield deployment
    deployment.stop()


def children_of(process: subprocess.Popen[bytes]) -> list[int]:
    listing = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return [int(pid) for pid in listing.split()]


def published_once(deployment: Deployment, line: str, request: str, versions: int = 2) -> None:
    deployment.until_succeeded(request)
    with deployment.store.read() as unit:
        assert len(unit.versions.of_line(line)) == versions
        assert [entry.instance_id for entry in unit.ledger.of_line(line)] == ["p0-0"]
        assert len(unit.requests.certificates(request)) == 1


def test_the_child_is_killed(deployment: Deployment, llama_path: Path) -> None:
    worker = deployment.start("workers")
    line = deployment.trained_line("bot", llama_path, people(8))
    request = deployment.submit(remove("p0-0"))
    deployment.until_running(line)
    (child,) = children_of(worker)
    os.kill(child, signal.SIGKILL)
    published_once(deployment, line, request)
    assert worker.poll() is None


def test_the_worker_is_killed_and_another_takes_over(deployment: Deployment, llama_path: Path) -> None:
    worker = deployment.start("workers")
    line = deployment.trained_line("bot", llama_path, people(8))
    request = deployment.submit(remove("p0-0"))
    deployment.until_running(line)
    worker.kill()
    deployment.start("workers")
    published_once(deployment, line, request)


@pytest.mark.matrix
def test_a_worker_that_was_paused_past_its_lease_publishes_nothing(deployment: Deployment, llama_path: Path) -> None:
    paused = deployment.start("workers")
    line = deployment.trained_line("bot", llama_path, people(8))
    request = deployment.submit(remove("p0-0"))
    deployment.until_running(line)
    # While the test holds SQLite's only write lock the worker does not: a process frozen with it would
    # freeze every other one, which no lease can mend.
    with deployment.store.write():
        paused.send_signal(signal.SIGSTOP)
    deployment.start("workers")
    deployment.until_succeeded(request)
    paused.send_signal(signal.SIGCONT)
    second = deployment.submit(remove("p1-0"))
    deployment.until_succeeded(second)
    with deployment.store.read() as unit:
        assert len(unit.versions.of_line(line)) == 3
        assert [entry.instance_id for entry in unit.ledger.of_line(line)] == ["p0-0", "p1-0"]


@pytest.mark.matrix
def test_redis_is_flushed_before_the_worker_hears_of_the_run(
    deployment: Deployment, llama_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = deployment.start("workers")
    line = deployment.trained_line("bot", llama_path, people(8))
    worker.terminate()
    worker.wait(timeout=30)
    request = deployment.submit(remove("p0-0"))
    deployment.until(lambda unit: unit.runs.outbox_lag(unit.now) == 0)
    with Redis.from_url(redis_url) as client:
        client.flushall()
    # The reconciler hints again after a minute; the test ages the hint instead of waiting.
    with deployment.store.write() as unit:
        run = unit.runs.queued(line, Lane.answer)
        assert run is not None
        run.hinted_at = run.hinted_at.replace(year=2020)
    deployment.start("workers")
    published_once(deployment, line, request)


@pytest.mark.matrix
def test_a_stopped_worker_hands_its_run_back_at_once(deployment: Deployment, llama_path: Path) -> None:
    worker = deployment.start("workers")
    line = deployment.trained_line("bot", llama_path, people(8), LONG_RECIPE)
    with deployment.store.write() as unit:
        run_id = rebuild_now(unit, "bot", actor=ACTOR).id
    deployment.until_running(line, Lane.compact, stage="training")
    worker.terminate()
    assert worker.wait(timeout=15) == 0
    with deployment.store.read() as unit:
        run = unit.runs.get(run_id)
        assert run is not None
        assert (run.state, run.attempt, run.worker) == ("queued", 0, None)


def test_a_worker_that_is_stopped_while_its_engine_starts_hands_the_run_back_too(
    deployment: Deployment, llama_path: Path
) -> None:
    """Starting takes seconds, on a large machine minutes: longer than the grace period may be."""
    dataset = deployment.dataset(people(8))
    with deployment.store.write() as unit:
        line = create_line(unit, "bot", BaseModelRef(path=str(llama_path)), Policy(), actor=ACTOR)
    source = VersionSource(RunKind.train, dataset, None, SMALL_RECIPE, TrainingFormat(max_length=128))
    with deployment.store.write() as unit:
        run_id = str(add_version(unit, "bot", source, actor=ACTOR).run_id)
    worker = deployment.start("workers")
    deployment.until_running(line.id, Lane.compact)
    worker.terminate()
    assert worker.wait(timeout=15) == 0
    with deployment.store.read() as unit:
        run = unit.runs.get(run_id)
        assert run is not None
        assert (run.state, run.attempt, run.worker) == ("queued", 0, None)
        assert unit.runs.pools_alive(unit.now, within_s=60) == {}, "it said good-bye"
    assert not list((deployment.settings.home / "staging").glob("*/*"))


def test_a_rebuild_makes_room_for_an_answer_and_goes_on(deployment: Deployment, llama_path: Path) -> None:
    deployment.start("workers")
    line = deployment.trained_line("bot", llama_path, people(8), LONG_RECIPE)
    with deployment.store.write() as unit:
        run_id = rebuild_now(unit, "bot", actor=ACTOR).id
    deployment.until_running(line, Lane.compact, stage="training")
    request = deployment.submit(remove("p0-0"))
    deployment.until_succeeded(request)
    deployment.until(lambda unit: unit.runs.get(run_id).state == "succeeded")  # type: ignore[union-attr]
    with deployment.store.read() as unit:
        feed = unit.feed.events(0, limit=1000)
    happened = [
        "yielded" if event.data.get("reason") == "yielded" else "rebuilt" if event.run_id == run_id else "answered"
        for event in feed
        if event.data.get("reason") == "yielded"
        or (event.type == "run.succeeded" and event.data["kind"] in ("influence", "rebuild"))
    ]
    assert happened == ["yielded", "answered", "rebuilt"]
    assert deployment.request(request).state is RequestState.succeeded
