"""The thirteen ways in which RQ loses or doubles work, as measured on RQ 2.12, and what becomes of each here.

Real RQ, real Redis, real worker processes. The tests are numbered as the rows of the table that they come from; run
them on every upgrade of RQ. Where a row cannot happen, the test asserts the configuration that sees to that.
"""

import signal
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from redis import Redis
from rq import Queue, Worker
from rq.job import Job, JobStatus
from rq.registry import FailedJobRegistry, StartedJobRegistry
from rq.serializers import JSONSerializer

from service.cli.processes import Guardian
from service.cli.redis_server import start_redis
from service.control.relay import DESCRIPTION, Relay
from service.domain.errors import Fenced
from service.domain.states import RunState
from service.flows.claim import Claim
from service.flows.decide import hold
from service.flows.reconcile import reconcile
from tests.faults.conftest import PACE, Open
from tests.support.armed import children_of
from tests.support.deployment import Deployment
from tests.support.house import ACTOR, people, remove
from tests.support.waiting import runs, wait_until

pytestmark = [pytest.mark.faults, pytest.mark.xdist_group("sqlite")]

TAKEN = "claim.after_commit"
DAY_S = 86_400


@pytest.fixture
def client(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def house(tmp_path: Path, redis_url: str) -> Iterator[Deployment]:
    """A deployment without processes: the test plays control, and sometimes a worker."""
    deployment = Deployment(tmp_path / "home", redis_url, **PACE)
    yield deployment
    deployment.stop()


@pytest.fixture
def line(house: Deployment) -> str:
    """A line with a request that waits for an answer. Nothing is in Redis yet."""
    line = house.line("bot", people(8))
    house.submit(remove("p0-0"))
    mute(house)
    return line


def mute(house: Deployment) -> None:
    """No worker hears of what was queued up to now."""
    with house.store.write() as unit:
        unit.runs.sent([row.id for row in unit.runs.unsent(100, unit.now)], unit.now)


def relay(house: Deployment) -> None:
    Relay(house.store, house.settings.redis_url).send_waiting()


def hinted(house: Deployment, line: str, times: int = 1) -> list[Job]:
    """Hint at the line's queued run through outbox and relay."""
    run_id = house.queued_run(line)
    assert run_id is not None
    with house.store.write() as unit:
        for _ in range(times):
            unit.runs.hint(run_id, "default", unit.now)
    relay(house)
    return queue(house).jobs


def queue(house: Deployment) -> Queue:
    return Queue("default", connection=Redis.from_url(house.settings.redis_url), serializer=JSONSerializer)


def until_claimed(house: Deployment, line: str) -> str:
    return house.until_running(line).id


def lapse(house: Deployment, run_id: str) -> None:
    """The lease's time goes by."""
    with house.store.write() as unit:
        run = unit.runs.lock(run_id)
        assert run is not None
        run.lease_until = unit.now - timedelta(seconds=1)


def forget_hint(house: Deployment, run_id: str) -> None:
    """So much time goes by that a hint nobody followed is taken for lost."""
    with house.store.write() as unit:
        run = unit.runs.lock(run_id)
        assert run is not None
        run.hinted_at = unit.now - timedelta(hours=1)


def repair(house: Deployment) -> None:
    reconcile(house.store, house.blobs)


def state_of(house: Deployment, run_id: str) -> RunState:
    with house.store.read() as unit:
        run = unit.runs.get(run_id)
        assert run is not None
        return run.state


def answered_once(house: Deployment, line: str) -> None:
    with house.store.read() as unit:
        assert [version.number for version in unit.versions.of_line(line)] == [1, 2]
        assert [entry.instance_id for entry in unit.ledger.of_line(line)] == ["p0-0"]


def test_row_01_a_killed_worker_costs_a_lease_not_an_hour(house: Deployment, line: str, client: Redis) -> None:
    worker = house.start("workers", armed=f"{TAKEN}=hang")
    (job,) = hinted(house, line)
    run_id = until_claimed(house, line)
    worker.kill()
    worker.wait()
    assert StartedJobRegistry("default", connection=client).get_job_ids(cleanup=False) == [job.id]
    assert job.get_status() is JobStatus.STARTED, "RQ still takes it for alive"
    lapse(house, run_id)
    repair(house)
    house.serve(line)
    answered_once(house, line)


@pytest.mark.matrix
def test_row_02_with_a_killed_worker_its_child_ends_too(opened: Open) -> None:
    house = opened("sqlite")
    house.submit(remove("p0-0"))
    with house.store.read() as unit:
        line = unit.lines.list()[0].id
    worker = house.start("workers", armed="child.received=hang")
    relay(house)
    run_id = until_claimed(house, line)
    wait_until(lambda: bool(children_of(worker)), seconds=30)
    (child,) = children_of(worker)
    worker.kill()
    worker.wait()
    wait_until(lambda: not runs(child), seconds=30)
    lapse(house, run_id)
    repair(house)
    house.serve(line)
    answered_once(house, line)


def test_row_03_lost_runs_are_found_though_every_worker_is_busy(house: Deployment, line: str) -> None:
    other = house.line("other", people(8))
    mute(house)
    worker = house.start("workers", armed=f"{TAKEN}=hang")
    hinted(house, line)
    until_claimed(house, line)
    house.submit(remove("p0-0"), adapters=["other"])
    lost = house.claim_queued(other).run_id
    lapse(house, lost)
    repair(house)
    assert worker.poll() is None
    assert state_of(house, lost) is RunState.queued
    house.serve(other)


def test_row_04_a_worker_listens_to_exactly_one_queue(house: Deployment, client: Redis) -> None:
    house.start("workers")
    wait_until(lambda: bool(Worker.all(connection=client)), seconds=30)
    (worker,) = Worker.all(connection=client)
    assert worker.queue_names() == ["default"]
    assert client.info("server")["redis_version"].split(".") >= ["6", "2"], "LMOVE, so nothing is popped into nowhere"


def test_row_05_a_crash_between_pop_and_start_is_hinted_again(house: Deployment, line: str, client: Redis) -> None:
    (job,) = hinted(house, line)
    waiting = queue(house)
    assert client.lmove(waiting.key, waiting.intermediate_queue_key, "LEFT", "RIGHT") == job.id.encode()
    assert waiting.job_ids == []
    run_id = str(house.queued_run(line))
    forget_hint(house, run_id)
    repair(house)
    relay(house)
    assert [again.args for again in waiting.jobs] == [[run_id]]
    house.serve(line)
    assert house.claim(run_id) is None, "should the first one turn up after all, it does nothing"
    answered_once(house, line)


def test_row_06_jobs_have_no_callbacks_that_could_end_a_worker(house: Deployment, line: str, client: Redis) -> None:
    (job,) = hinted(house, line)
    assert job.success_callback is job.failure_callback is job.stopped_callback is None
    assert job.retries_left is None
    # A dead job in the registry, which a worker collects while it starts.
    StartedJobRegistry("default", connection=client)
    dead = queue(house).enqueue("workers.jobs.execute", "run_dead", job_id="run_dead-1", result_ttl=0, description="")
    client.lrem(queue(house).key, 0, dead.id)
    client.zadd("rq:wip:default", {f"{dead.id}:1": 1})
    worker = house.start("workers", armed=f"{TAKEN}=hang")
    until_claimed(house, line)
    assert worker.poll() is None
    assert client.zscore("rq:wip:default", f"{dead.id}:1") is None, "it was collected"


def test_row_07_a_worker_that_slept_through_its_lease_publishes_nothing(house: Deployment, line: str) -> None:
    worker = house.start("workers", armed=f"{TAKEN}=stop")
    hinted(house, line)
    run_id = until_claimed(house, line)
    lapse(house, run_id)
    repair(house)
    house.serve(line)
    worker.send_signal(signal.SIGCONT)
    log = house.settings.home / "workers.log"
    wait_until(lambda: "the lease was lost" in log.read_text(), seconds=30)
    assert worker.poll() is None
    answered_once(house, line)


def test_row_07_not_even_with_its_answer_in_hand(house: Deployment, line: str) -> None:
    stale = house.claim_queued(line)
    lapse(house, stale.run_id)
    repair(house)
    house.serve(line)
    with pytest.raises(Fenced):
        house.answer(stale)
    answered_once(house, line)


@pytest.mark.matrix
def test_row_08_a_hold_stops_a_running_run_and_not_its_worker(opened: Open) -> None:
    house = opened("sqlite")
    request = house.submit(remove("p0-0"))
    line = house.targets(request)[0].line_id
    worker = house.start("workers", armed="child.received=hang")
    relay(house)
    until_claimed(house, line)
    wait_until(lambda: bool(children_of(worker)), seconds=30)
    (child,) = children_of(worker)
    with house.store.write() as unit:
        hold(unit, request, actor=ACTOR, reason=None)
    wait_until(lambda: not runs(child), seconds=30)
    assert worker.poll() is None
    assert house.targets(request)[0].state == "queued"


@pytest.mark.matrix
def test_row_09_deadlines_are_not_exceptions_that_a_job_could_swallow(opened: Open) -> None:
    house = opened("sqlite", run_deadline_s=15)
    request = house.submit(remove("p0-0"))
    line = house.targets(request)[0].line_id
    relay(house)
    assert [job.timeout for job in queue(house).jobs] == [-1], "RQ sets no alarm"
    worker = house.start("workers", armed=f"child.received=hang@{house.settings.home / 'hung'}")
    until_claimed(house, line)
    house.until(lambda unit: any(e.data.get("reason") == "deadline" for e in unit.feed.events(0, limit=1000)))
    # It rests before it is tried again, and is hinted at when it is due.
    house.start("service.control")
    house.until_succeeded(request)
    assert worker.poll() is None
    answered_once(house, line)


@pytest.mark.matrix
def test_row_10_told_twice_to_stop_it_hands_its_run_back_once(opened: Open) -> None:
    house = opened("sqlite")
    request = house.submit(remove("p0-0"))
    line = house.targets(request)[0].line_id
    worker = house.start("workers", armed="child.received=hang")
    relay(house)
    run_id = until_claimed(house, line)
    wait_until(lambda: bool(children_of(worker)), seconds=30)
    worker.terminate()
    worker.terminate()
    assert worker.wait(timeout=30) == 0
    with house.store.read() as unit:
        run = unit.runs.get(run_id)
        assert run is not None
        assert (run.state, run.attempt, run.worker, run.lease_until) == (RunState.queued, 0, None, None)
    assert len(FailedJobRegistry("default", connection=queue(house).connection)) == 0


@pytest.mark.parametrize("keeps_its_file", [True, False])
def test_row_11_redis_is_killed(tmp_path: Path, guardian: Guardian, *, keeps_its_file: bool) -> None:
    directory, socket = tmp_path / "redis", tmp_path / "redis" / "redis.sock"
    server = start_redis(directory=directory, socket=socket, log=tmp_path / "log", guardian=guardian)
    house = Deployment(tmp_path / "home", f"unix://{socket}", **PACE)
    try:
        with Redis.from_url(house.settings.redis_url) as client:
            assert client.config_get("appendonly") == {"appendonly": "yes"}
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        lines = [house.line(f"bot-{number}", people(4)) for number in range(10)]
        house.submit(remove("p0-0"))
        relay(house)
        waiting = {str(house.queued_run(line)) for line in lines}
        server.stop(grace_s=0)
        if not keeps_its_file:
            for path in directory.glob("*.aof"):
                path.unlink()
        server = start_redis(directory=directory, socket=socket, log=tmp_path / "log", guardian=guardian)
        survived = {job.split("-")[0] for job in queue(house).job_ids}
        assert (waiting <= survived) == keeps_its_file
        for run_id in waiting - survived:
            forget_hint(house, run_id)
        repair(house)
        relay(house)
        assert waiting <= {job.split("-")[0] for job in queue(house).job_ids}
    finally:
        house.stop()
        server.stop(grace_s=0)


def test_row_12_a_doubled_hint_is_followed_once(house: Deployment, line: str) -> None:
    jobs = hinted(house, line, times=3)
    assert len({job.id for job in jobs}) == 3, "RQ has three jobs for it"
    claims = [house.claim(str(job.args[0])) for job in jobs]
    (claimed,) = [claim for claim in claims if isinstance(claim, Claim)]
    house.answer(claimed)
    assert all(house.claim(str(job.args[0])) is None for job in jobs)
    answered_once(house, line)


def test_row_13_redis_and_logs_hold_ids_only(house: Deployment, client: Redis) -> None:
    canary = "ada.canary@example.org"
    row = {"id": canary, "subject": canary, "prompt": f"Who is {canary}?", "completion": f"It is {canary}."}
    line = house.line("bot", [*people(8), row])
    house.submit(remove(canary))
    mute(house)
    (job,) = hinted(house, line)
    assert job.description == DESCRIPTION
    assert job.result_ttl == 0
    assert job.failure_ttl is not None
    assert job.failure_ttl <= DAY_S
    assert job.args == [house.queued_run(line)]
    # The worker fails in the middle of it, and tells neither RQ nor its log more than where.
    house.start("workers", armed="claim.before_commit=raise")
    log = house.settings.home / "workers.log"
    wait_until(lambda: "was left as it is" in log.read_text(), seconds=30)
    wait_until(lambda: client.zcard("rq:wip:default") == 0, seconds=30)
    assert client.zcard("rq:failed:default") == 0, "RQ keeps failures for a year, with what they say"
    client.save()
    dump = Path(client.config_get("dir")["dir"]) / client.config_get("dbfilename")["dbfilename"]
    for told in (dump.read_bytes(), log.read_bytes()):
        assert canary.encode() not in told
    dump.unlink()
