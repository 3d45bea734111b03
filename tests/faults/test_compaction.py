"""A rebuild under fire: requests, cancels and holds arrive and processes die while it runs.

Whatever happens, nobody who was erased comes back, no request is lost, what was answered after the rebuild had frozen
its membership is solved again on the new anchor, what is held stays as it was, and what was canceled has no effect
(`tests.support.under_fire`). `make test-faults` runs this file; the rules of the ledger behind it are in
`tests/service/flows/test_tail.py`.
"""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest
from pydantic import SecretStr
from redis import Redis

from service.domain.adapters import Strategy
from service.domain.states import RunState
from service.evidence.tokens import new_token
from service.store.database import Unit
from service.store.tables import Run
from tests.faults.conftest import PACE, new_database
from tests.faults.matrix import ON_EACH
from tests.support.armed import insist
from tests.support.at_random import AtRandom
from tests.support.deployment import Deployment
from tests.support.house import correct, people, remove
from tests.support.ports import free_port
from tests.support.quiet import Quiet
from tests.support.stage import Stage
from tests.support.under_fire import UnderFire

# Starting processes and training lines takes a minute of computing before the first fault: too long for `make test`.
pytestmark = [pytest.mark.faults, pytest.mark.matrix, pytest.mark.timeout(600)]

RECEIVED, COMPUTED = "child.received", "child.computed"
YIELDING, YIELDED = "make_room.before_commit", "make_room.after_commit"
PUBLISHING, PUBLISHED = "rebuild.before_commit", "rebuild.after_commit"
STORED = "store.copied"
TAKING_BACK, TAKEN_BACK = "take_back.before_commit", "take_back.after_commit"
PLAY_S = 45.0
What = Callable[[Stage, Run], None]
POINTS = (RECEIVED, COMPUTED, YIELDING, YIELDED, PUBLISHING, PUBLISHED, STORED, TAKING_BACK, TAKEN_BACK)


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Quiet:
    return Quiet(tmp_path_factory.mktemp("quiet"))


@pytest.fixture(scope="module", params=ON_EACH)
def long_lived(
    request: pytest.FixtureRequest, redis_server_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    """Starting processes takes longer than what they do here, so that those which survive a test serve the next."""
    with Redis.from_url(redis_server_url) as client:
        client.flushall()
    _, url = new_database(request, request.param)
    home, key = tmp_path_factory.mktemp(request.param), SecretStr(new_token())
    deployment = Deployment(home, redis_server_url, port=free_port(), admin_key=key, **PACE, **url)
    stage = Stage(deployment, POINTS)
    yield stage
    stage.close()


@pytest.fixture
def stage(long_lived: Stage) -> Iterator[Stage]:
    long_lived.mend()
    yield long_lived
    long_lived.mend()


numbers = count(1)


@pytest.fixture
def fire(stage: Stage, llama_path: Path, quiet: Quiet) -> UnderFire:
    """A line that was trained a moment ago."""
    name = f"line-{next(numbers)}"
    line = stage.deployment.trained_line(name, llama_path, people(8))
    return UnderFire(stage.deployment, name, line, quiet)


# What is asked


@dataclass
class Begun:
    """A rebuild that stands still. `members`: requests that it answers, the first of which removes; `held`: others."""

    run: Run
    members: list[str]
    held: list[str]


def begin(stage: Stage, fire: UnderFire, *, until: str) -> Begun:
    """Before the rebuild one request was answered and one canceled."""
    stage.deployment.until_succeeded(fire.ask(remove("p0-0")))
    with stage.nobody_hears():
        members = [fire.ask(remove("p1-0"), Strategy.rebuild), fire.ask(correct("p2-0", "New."), Strategy.rebuild)]
        held, doomed = (fire.ask(remove(name), Strategy.rebuild) for name in ("p3-0", "p3-1"))
        fire.hold(held)
        fire.cancel(doomed)
        stage.arm(until)
    stage.reached(until)
    return Begun(stage.rebuild(fire.line), members, [held])


def ask_more(stage: Stage, fire: UnderFire, begun: Begun) -> None:
    """Requests that are answered while the rebuild stands still, one that is canceled, and one that is held.

    Of the first, the rebuild removes one instance and corrects another itself.
    """
    with stage.nobody_hears():
        late = [fire.ask(remove(*names)) for names in (("p4-0",), ("p1-0", "p1-1"), ("p2-0",))]
        canceled, held = fire.ask(remove("p6-0")), fire.ask(remove("p6-1"))
        fire.cancel(canceled)
        fire.hold(held)
    begun.held.append(held)
    for request in late:
        stage.deployment.until_succeeded(request)


def conclude(stage: Stage, fire: UnderFire, begun: Begun) -> None:
    """The rebuild ends well, all is as it was asked for, and it still is when what was held is done and baked too."""
    over(stage, begun.run.id)
    fire.settle()
    fire.check()
    for request in begun.held:
        fire.release(request)
    fire.settle()
    over(stage, fire.rebuild())
    fire.settle()
    fire.check()


def over(stage: Stage, run_id: str) -> None:
    def is_over(unit: Unit) -> bool:
        now = unit.runs.get(run_id)
        assert now is not None
        assert now.state is not RunState.failed, now.failure
        return now.state not in (RunState.queued, RunState.running)

    stage.deployment.until(is_over)


# What happens

nothing: What = Stage.go_on


def kill_worker_and_who_takes_back(point: str) -> What:
    def kill(stage: Stage, run: Run) -> None:
        stage.arm(point)
        stage.kill_worker(run)
        stage.kill_control(point)

    kill.__name__ = f"control dies {point}"
    return kill


OUTRIGHT: Sequence[What] = (nothing, Stage.kill_engine, Stage.kill_worker, Stage.freeze_worker)
named = {"ids": lambda what: what.__name__.replace("_", "-")}


@pytest.mark.parametrize(
    "happens",
    [*OUTRIGHT, kill_worker_and_who_takes_back(TAKING_BACK), kill_worker_and_who_takes_back(TAKEN_BACK)],
    **named,
)
def test_when_it_is_trained(happens: What, stage: Stage, fire: UnderFire) -> None:
    begun = begin(stage, fire, until=COMPUTED)
    ask_more(stage, fire, begun)
    happens(stage, begun.run)
    conclude(stage, fire, begun)


@pytest.mark.parametrize("happens", OUTRIGHT, **named)
def test_while_its_tail_is_solved(happens: What, stage: Stage, fire: UnderFire) -> None:
    """And more is answered meanwhile, so that it is solved once more."""
    begun = begin(stage, fire, until=COMPUTED)
    ask_more(stage, fire, begun)
    stage.arm(RECEIVED)
    stage.go_on(begun.run)
    stage.reached(RECEIVED)
    stage.deployment.until_succeeded(fire.ask(remove("p4-1")))
    happens(stage, begun.run)
    conclude(stage, fire, begun)


@pytest.mark.parametrize("happens", [Stage.kill_worker, Stage.oversleep], **named)
@pytest.mark.parametrize("point", [PUBLISHING, PUBLISHED])
def test_when_it_takes_over(point: str, happens: What, stage: Stage, fire: UnderFire) -> None:
    begun = begin(stage, fire, until=COMPUTED)
    ask_more(stage, fire, begun)
    stage.arm(RECEIVED)
    stage.go_on(begun.run)
    stage.reached(RECEIVED)
    stage.arm(point)
    stage.go_on(begun.run)
    stage.reached(point)
    happens(stage, begun.run)
    conclude(stage, fire, begun)


def test_a_worker_that_wakes_up_while_another_one_is_at_it_publishes_nothing(stage: Stage, fire: UnderFire) -> None:
    """What it has was trained with data that were erased since, and the run says that they were left out."""
    begun = begin(stage, fire, until=COMPUTED)
    ask_more(stage, fire, begun)
    stage.arm(STORED)
    stage.go_on(begun.run)
    stage.reached(STORED)
    stage.arm(RECEIVED)
    stage.reached(RECEIVED)
    second = stage.rebuild(fire.line)
    stage.go_on(begun.run)
    time.sleep(2)
    assert stage.rebuild(fire.line).fence == second.fence > begun.run.fence
    stage.go_on(second)
    conclude(stage, fire, begun)


@pytest.mark.parametrize("point", [YIELDING, YIELDED])
@pytest.mark.parametrize("happens", [Stage.kill_worker, Stage.oversleep], **named)
def test_when_it_makes_room(happens: What, point: str, stage: Stage, fire: UnderFire) -> None:
    begun = begin(stage, fire, until=RECEIVED)
    with stage.nobody_hears():
        late = fire.ask(remove("p4-0"))
        stage.arm(point)
        have_it_yield(stage, begun.run)
        stage.reached(point)
    happens(stage, begun.run)
    stage.deployment.until_succeeded(late)
    conclude(stage, fire, begun)


@pytest.mark.parametrize("meanwhile", ["nothing", "hold", "cancel", "other-members"])
def test_after_it_made_room(meanwhile: str, stage: Stage, fire: UnderFire) -> None:
    """It goes on from its checkpoint, unless that was trained with other members than it has by then."""
    begun = begin(stage, fire, until=RECEIVED)
    with stage.alone(begun.run):
        with stage.nobody_hears():
            late = fire.ask(remove("p4-0"))
            have_it_yield(stage, begun.run)
            stage.deployment.until(lambda unit: has_yielded(unit, begun.run.id))
            if meanwhile == "hold":
                fire.hold(begun.members[0])
                begun.held.append(begun.members[0])
            elif meanwhile == "cancel":
                fire.cancel(begun.members[1])
            elif meanwhile == "other-members":
                with stage.deployment.store.write() as unit:
                    unit.targets.of_request(begun.members[1])[0].run_id = None
        stage.deployment.until_succeeded(late)
    conclude(stage, fire, begun)
    reasons = ["yielded", "checkpoint"] if meanwhile == "other-members" else ["yielded"]
    with stage.deployment.store.read() as unit:
        feed = unit.feed.events(0, limit=100_000)
    told = [event.data["reason"] for event in feed if (event.type, event.run_id) == ("run.requeued", begun.run.id)]
    assert told == reasons


def have_it_yield(stage: Stage, run: Run) -> None:
    """Its worker looks several times a second whether an answer waits. Its child notices when it goes on."""
    time.sleep(1)
    stage.go_on(run)


def has_yielded(unit: Unit, run_id: str) -> bool:
    run = unit.runs.get(run_id)
    return run is not None and run.state is RunState.queued and run.checkpoint is not None


@pytest.mark.parametrize("happens", [nothing, Stage.kill_worker], **named)
def test_while_another_rebuild_is_asked_for(happens: What, stage: Stage, fire: UnderFire) -> None:
    """One that waits for this one to end, or takes over what it was at."""
    begun = begin(stage, fire, until=COMPUTED)
    ask_more(stage, fire, begun)
    fire.release(begun.held.pop(0))
    fire.ask(remove("p7-0"), Strategy.rebuild)
    happens(stage, begun.run)
    conclude(stage, fire, begun)


@pytest.mark.parametrize("when", ["before", "after"])
def test_while_the_api_dies(when: str, stage: Stage, fire: UnderFire, tmp_path: Path) -> None:
    """Its client sends the request again."""
    begun = begin(stage, fire, until=COMPUTED)
    settings = stage.deployment.settings
    assert settings.admin_key is not None
    body = {"operations": [{"type": "remove", "select": {"instance_ids": ["p4-0"]}}], "adapters": [fire.name]}
    headers = {
        "authorization": f"Bearer {settings.admin_key.get_secret_value()}",
        "idempotency-key": fire.name,
        "content-type": "application/json",
    }
    died = tmp_path / "died"
    api = stage.deployment.start("service.api", armed=f"create.{when}_commit=kill@{died}")
    try:
        with ThreadPoolExecutor(1) as client:
            url = f"{settings.url}/v1/unlearning-requests"
            asked = client.submit(insist, url, json.dumps(body).encode(), headers)
            assert api.wait(timeout=90) == -signal.SIGKILL
            api = stage.deployment.start("service.api")
            answer = asked.result()
    finally:
        api.terminate()
        api.wait(timeout=30)
    request = fire.note(str(answer["id"]), remove("p4-0"))
    assert fire.receipts[request] == answer["receipt"]
    stage.deployment.until_succeeded(request)
    stage.go_on(begun.run)
    conclude(stage, fire, begun)


# FIRE_SEEDS="7 8 9" plays other histories.
@pytest.mark.parametrize("seed", [int(seed) for seed in os.environ.get("FIRE_SEEDS", "1 2").split()])
def test_whatever_comes(seed: int, stage: Stage, fire: UnderFire) -> None:
    history = AtRandom(stage, fire, POINTS, seed=seed)
    try:
        history.play(PLAY_S)
        history.bring_to_an_end()
        fire.check()
        history.bake()
        fire.check()
    except BaseException as error:
        error.add_note("\n".join(history.told))
        raise
