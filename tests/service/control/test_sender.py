"""The webhook sender against a real receiver: told of everything, signed, repeated, and nobody held up by others."""

import base64
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks import Webhook, WebhookVerificationError

from service.control.sender.sender import THREADS_PER_ENDPOINT, Sender
from service.domain.webhooks import DeliveryState, DisabledReason, SignatureScheme
from service.egress.address import AddressPolicy
from service.egress.transport import guarded_client
from service.evidence.webhook_keys import WebhookKey
from service.flows.redeliver import resend
from service.flows.vault import open_vault
from service.flows.webhook_endpoints import EndpointOrder, create_endpoint, rotate_secret
from service.store.blobs import Blobs
from service.store.database import Store
from service.store.tables import WebhookDelivery
from tests.support.house import ACTOR, House, people, remove
from tests.support.receiver import Received, Receiver, receiving
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

LOOPBACK = AddressPolicy((ip_network("127.0.0.1/32"),), allow_http=True)


@pytest.fixture
def house(database_url: str, tmp_path: Path) -> Iterator[House]:
    store = Store(database_url)
    vault = open_vault(store, bytes(range(32)))
    yield House(store, vault, Blobs((tmp_path / "blobs").as_uri()), tmp_path / "trees")
    store.close()


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    with receiving(tmp_path / "receiver") as receiver:
        yield receiver


@contextmanager
def sending(house: House) -> Iterator[Callable[[], int]]:
    """A sender; each call is one pass."""
    sender = Sender(house.store, house.vault, guarded_client(LOOPBACK, deadline_s=2))
    try:
        yield sender.send_due
    finally:
        sender.close()


def endpoint(
    house: House, url: str, scheme: SignatureScheme = SignatureScheme.ed25519, **order: Any
) -> tuple[str, WebhookKey]:
    with house.store.write() as unit:
        made, key = create_endpoint(unit, house.vault, EndpointOrder(url, scheme, **order), actor=ACTOR)
        return made.id, key


def emit(house: House, *types: str) -> None:
    with house.store.write() as unit:
        for type_ in types:
            unit.emit(type_)


def deliveries(house: House, endpoint_id: str) -> list[WebhookDelivery]:
    with house.store.read() as unit:
        return list(reversed(unit.webhooks.deliveries(endpoint_id, after=None, limit=1000).items))


def until_settled(house: House, send_due: Callable[[], int], *endpoints: str) -> None:
    """Passes until everything was tried."""

    def tried() -> bool:
        send_due()
        rows = [row for one in endpoints for row in deliveries(house, one)]
        return bool(rows) and all(row.attempts for row in rows)

    wait_until(tried)


def verified_by(public: str, request: Received) -> bool:
    """Whether one of the signatures is that of an Ed25519 key."""
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public.removeprefix("whpk_")))
    signed = f"{request.id}.{request.headers['webhook-timestamp']}.".encode() + request.body
    for signature in request.headers["webhook-signature"].split(" "):
        scheme, value = signature.split(",")
        if scheme == "v1a":
            key.verify(base64.b64decode(value), signed)
            return True
    return False


def test_a_request_is_told_from_its_receipt_to_its_certificate(house: House, receiver: Receiver) -> None:
    chosen = ["request.*", "certificate.issued"]
    made, key = endpoint(house, receiver.url, event_types=chosen)
    with sending(house) as send_due:
        line = house.line("bot", people(4))
        request = house.submit(remove("p0-0"))
        house.serve(line)
        until_settled(house, send_due, made)
    received = receiver.received()
    told = {one.message["type"] for one in received}
    assert told == {"request.created", "request.state", "certificate.issued"}
    assert {one.message["data"]["request"] for one in received} == {request}
    assert all(verified_by(str(key.public), one) for one in received)
    assert {row.state for row in deliveries(house, made)} == {DeliveryState.delivered}
    assert {one.id for one in received} == {row.id for row in deliveries(house, made)}


def test_a_rotation_of_shared_secrets_verifies_with_either_and_then_with_the_new_one(
    house: House, receiver: Receiver
) -> None:
    made, old = endpoint(house, receiver.url, SignatureScheme.hmac)
    with sending(house) as send_due:
        with house.store.write() as unit:
            _, new = rotate_secret(unit, house.vault, made, scheme=None, overlap=timedelta(hours=1), actor=ACTOR)
        until_settled(house, send_due, made)
        for request in receiver.received():
            for key in (old, new):
                Webhook(str(key.shown_once)).verify(request.body, dict(request.headers))
        with house.store.write() as unit:
            rotate_secret(unit, house.vault, made, scheme=None, overlap=timedelta(), actor=ACTOR)
        before = len(receiver.received())
        emit(house, "request.state")
        until_settled(house, send_due, made)
    for request in receiver.received()[before:]:
        for key in (old, new):
            with pytest.raises(WebhookVerificationError):
                Webhook(str(key.shown_once)).verify(request.body, dict(request.headers))


def test_the_same_id_comes_again_when_it_is_repeated_and_when_it_is_resent(house: House, receiver: Receiver) -> None:
    made, _ = endpoint(house, receiver.url, event_types=["request.state"])
    receiver.answer(500)
    emit(house, "request.state")
    with sending(house) as send_due:
        until_settled(house, send_due, made)
        (row,) = deliveries(house, made)
        assert row.state is DeliveryState.pending
        receiver.answer(204)
        with house.store.write() as unit:
            resend(unit, made, row.id, actor=ACTOR)
        wait_until(lambda: send_due() >= 0 and deliveries(house, made)[0].state is DeliveryState.delivered)
    first, second = receiver.received()
    assert (first.id, first.body) == (second.id, second.body) == (row.id, first.body)


def test_who_answers_410_is_left_alone(house: House, receiver: Receiver) -> None:
    made, _ = endpoint(house, receiver.url, event_types=["request.state"])
    receiver.answer(410)
    emit(house, "request.state")
    with sending(house) as send_due:
        until_settled(house, send_due, made)
        emit(house, "request.state")
        for _ in range(5):
            send_due()
            time.sleep(0.05)
    assert len(receiver.received()) == 1
    with house.store.read() as unit:
        row = unit.webhooks.endpoint(made)
    assert row is not None
    assert row.disabled_reason is DisabledReason.gone


def test_one_that_hangs_holds_up_nobody_else(house: House, receiver: Receiver, tmp_path: Path) -> None:
    with receiving(tmp_path / "slow") as slow, sending(house) as send_due:
        slow.answer(204, wait_s=30)
        stuck, _ = endpoint(house, slow.url, event_types=["request.state"])
        made, _ = endpoint(house, receiver.url, event_types=["request.state"])
        emit(house, *["request.state"] * 20)
        send_due()
        slow.wait_for(THREADS_PER_ENDPOINT)
        until_settled(house, send_due, made)
        assert len(receiver.received()) == 20
        assert len(slow.received()) == THREADS_PER_ENDPOINT
        assert all(not row.attempts for row in deliveries(house, stuck))


def test_two_senders_share_the_work(house: House, receiver: Receiver) -> None:
    made, _ = endpoint(house, receiver.url, event_types=["request.state"])
    emit(house, *["request.state"] * 60)
    with sending(house) as one, sending(house) as other:
        until_settled(house, lambda: one() + other(), made)
    ids = [request.id for request in receiver.received()]
    assert len(ids) == len(set(ids)) == 60


def test_closing_lets_what_is_being_sent_arrive(house: House, receiver: Receiver) -> None:
    made, _ = endpoint(house, receiver.url, event_types=["request.state"])
    receiver.answer(204, wait_s=0.5)
    emit(house, "request.state")
    with sending(house) as send_due:
        send_due()
        receiver.wait_for(1)
    (row,) = deliveries(house, made)
    assert row.state is DeliveryState.delivered
