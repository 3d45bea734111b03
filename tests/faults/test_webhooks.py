"""The webhook sender dies in the middle of a delivery: the message arrives all the same, under its id."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.domain.webhooks import DeliveryState, SignatureScheme
from service.flows.webhook_endpoints import EndpointOrder, create_endpoint
from service.store.tables import WebhookDelivery
from tests.support.deployment import Deployment
from tests.support.house import ACTOR
from tests.support.receiver import Receiver, receiving

pytestmark = pytest.mark.faults

SENDER = "service.control.sender"


@pytest.fixture
def deployment(tmp_path: Path, redis_url: str) -> Iterator[Deployment]:
    deployment = Deployment(tmp_path / "home", redis_url, allow_http=True, allow_networks="127.0.0.1/32")
    yield deployment
    deployment.stop()


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    with receiving(tmp_path / "receiver") as receiver:
        yield receiver


@pytest.fixture
def endpoint(deployment: Deployment, receiver: Receiver) -> str:
    order = EndpointOrder(receiver.url, SignatureScheme.ed25519, event_types=["request.state"])
    with deployment.store.write() as unit:
        return create_endpoint(unit, deployment.vault, order, actor=ACTOR)[0].id


def emit(deployment: Deployment, count: int = 1) -> None:
    with deployment.store.write() as unit:
        for _ in range(count):
            unit.emit("request.state")


def deliveries(deployment: Deployment, endpoint: str) -> list[WebhookDelivery]:
    with deployment.store.read() as unit:
        return list(unit.webhooks.deliveries(endpoint, after=None, limit=1000).items)


def until_delivered(deployment: Deployment, endpoint: str, count: int) -> None:
    def all_there(_: object) -> bool:
        states = [row.state for row in deliveries(deployment, endpoint)]
        return states == [DeliveryState.delivered] * count

    deployment.until(all_there)


def end_leases(deployment: Deployment, endpoint: str) -> None:
    """A sender is taken for dead after a while; the test moves the moment instead of waiting."""
    with deployment.store.write() as unit:
        for row in unit.webhooks.deliveries(endpoint, after=None, limit=1000).items:
            if row.state is DeliveryState.pending:
                row.next_attempt_at = unit.now


def test_it_is_killed_while_the_receiver_thinks(deployment: Deployment, receiver: Receiver, endpoint: str) -> None:
    receiver.answer(204, wait_s=60)
    emit(deployment)
    sender = deployment.start(SENDER)
    receiver.wait_for(1)
    sender.kill()
    sender.wait()
    (row,) = deliveries(deployment, endpoint)
    assert (row.state, row.attempts) == (DeliveryState.pending, [])
    receiver.answer(204)
    end_leases(deployment, endpoint)
    deployment.start(SENDER)
    until_delivered(deployment, endpoint, 1)
    first, second = receiver.received()
    assert (first.id, first.body) == (second.id, second.body)
    log = (deployment.settings.home / f"{SENDER}.log").read_text()
    assert "from=lethe" not in log, "URLs may hold tokens"


def test_one_that_was_paused_past_its_lease_says_nothing_new(
    deployment: Deployment, receiver: Receiver, endpoint: str
) -> None:
    receiver.answer(500, wait_s=1)
    emit(deployment)
    paused = deployment.start(SENDER)
    receiver.wait_for(1)
    with deployment.store.write():
        paused.send_signal(signal.SIGSTOP)
    receiver.answer(204)
    end_leases(deployment, endpoint)
    deployment.start(SENDER)
    until_delivered(deployment, endpoint, 1)
    paused.send_signal(signal.SIGCONT)
    emit(deployment)
    until_delivered(deployment, endpoint, 2)
    assert all([attempt["status"] for attempt in row.attempts] == [204] for row in deliveries(deployment, endpoint))


def test_killed_again_and_again_it_loses_nothing(deployment: Deployment, receiver: Receiver, endpoint: str) -> None:
    for round_ in range(1, 6):
        sender = deployment.start(SENDER)
        emit(deployment, 40)
        receiver.wait_for(20 * round_)
        sender.kill()
        sender.wait()
    end_leases(deployment, endpoint)
    deployment.start(SENDER)
    until_delivered(deployment, endpoint, 200)
    told = {request.message["data"]["event"]: request.id for request in receiver.received()}
    assert len(told) == 200
    assert set(told.values()) == {row.id for row in deliveries(deployment, endpoint)}


def test_told_to_stop_it_finishes_what_it_is_sending(
    deployment: Deployment, receiver: Receiver, endpoint: str
) -> None:
    receiver.answer(204, wait_s=1)
    emit(deployment)
    sender = deployment.start(SENDER)
    receiver.wait_for(1)
    sender.terminate()
    assert sender.wait(timeout=15) == 0
    (row,) = deliveries(deployment, endpoint)
    assert row.state is DeliveryState.delivered
