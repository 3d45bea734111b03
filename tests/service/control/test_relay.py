"""Hints reach real Redis when runs are due: not before, and hardly after."""

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from redis import Redis
from rq import Queue
from rq.serializers import JSONSerializer

from service.control.__main__ import RELAY_PAUSE_S
from service.control.relay import Relay, keep
from service.domain.runs import Lane
from tests.support.house import House, people, remove
from tests.support.live_service import opened_house
from tests.support.waiting import wait_until

WINDOW_S = 1.0


@pytest.fixture
def house(database_url: str, tmp_path: Path) -> Iterator[House]:
    with opened_house(database_url, tmp_path) as house:
        yield house


@pytest.fixture
def queue(redis_url: str) -> Iterator[Queue]:
    with Redis.from_url(redis_url) as connection:
        yield Queue("default", connection=connection, serializer=JSONSerializer)


@pytest.fixture
def relay(house: House, redis_url: str) -> Iterator[Relay]:
    """A relay at work, at its usual pace."""
    relay, over = Relay(house.store, redis_url), threading.Event()
    thread = threading.Thread(
        target=keep,
        args=(relay.send_waiting,),
        kwargs={"stopped": over.wait, "pause_s": RELAY_PAUSE_S, "name": "relay"},
    )
    thread.start()
    yield relay
    over.set()
    thread.join()


def runs_in(queue: Queue) -> list[str]:
    return [job.args[0] for job in queue.jobs]


def test_a_run_is_told_of_within_a_second_of_becoming_due(house: House, relay: Relay, queue: Queue) -> None:
    line = house.line("bot", people(6), coalesce_s=WINDOW_S)
    wait_until(lambda: len(queue) == 1)
    queue.empty()
    for number in range(3):
        house.submit(remove(f"p{number}-0"))
    wait_until(lambda: bool(runs_in(queue)))
    heard = datetime.now(UTC)
    with house.store.read() as unit:
        run = unit.runs.queued(line, Lane.answer)
        assert run is not None
        assert run.not_before is not None
    assert 0 <= (heard - run.not_before).total_seconds() < 1.0
    time.sleep(5 * RELAY_PAUSE_S)
    assert runs_in(queue) == [run.id], "three requests, one hint"


def test_an_urgent_request_is_told_of_at_once(house: House, relay: Relay, queue: Queue) -> None:
    line = house.line("bot", people(6), coalesce_s=600)
    wait_until(lambda: len(queue) == 1)
    queue.empty()
    house.submit(remove("p0-0"))
    house.submit(remove("p1-0"), urgent=True)
    wait_until(lambda: bool(runs_in(queue)), seconds=1.0)
    assert runs_in(queue) == [house.queued_run(line)]
