"""Status callbacks by the real sender to a real receiver: signed by the domain for OpenDSR, repeated, in order."""

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from service.control.sender.callbacks import THREADS_PER_HOST
from service.control.sender.sender import Sender
from service.domain.webhooks import DeliveryState
from service.egress.address import AddressPolicy
from service.egress.transport import guarded_client
from service.evidence.domain_certificate import DomainSigner
from service.store.tables import StatusCallback
from tests.support.api import Api
from tests.support.domain_certificate import DOMAIN, Certified, certified
from tests.support.drp import Agent
from tests.support.house import people
from tests.support.receiver import Received, Receiver, receiving
from tests.support.waiting import wait_until

LOOPBACK = AddressPolicy((ip_network("127.0.0.1/32"),), allow_http=True)


@dataclass(frozen=True)
class Desk:
    """An API, a line, a receiver of callbacks, and a sender between them."""

    api: Api
    line: str
    receiver: Receiver
    domain: Certified

    @contextmanager
    def sending(self, policy: AddressPolicy = LOOPBACK) -> Iterator[Callable[[], int]]:
        """A sender; each call is one pass."""
        signer = DomainSigner(self.domain.certificate, self.domain.private)
        sender = Sender(self.api.store, self.api.vault, guarded_client(policy, deadline_s=2), signer)
        try:
            yield sender.send_due
        finally:
            sender.close()

    def received(self, count: int) -> list[Received]:
        """All that came in, once there are so many, after passes of a sender."""
        with self.sending() as send_due:

            def are_there() -> bool:
                send_due()
                return len(self.receiver.received()) >= count

            wait_until(are_there)
        found = list(self.receiver.received())
        assert len(found) == count
        return found

    def of(self, request_id: str) -> StatusCallback:
        with self.api.store.read() as unit:
            (row,) = unit.callbacks.of_request(request_id)
            return row


@pytest.fixture
def desk(database_url: str, tmp_path: Path) -> Iterator[Desk]:
    domain = certified(rsa.generate_private_key(65537, 2048), DOMAIN)
    certificate, key = tmp_path / "domain.pem", tmp_path / "domain.key"
    certificate.write_bytes(domain.certificate)
    key.write_bytes(domain.private)
    with receiving(tmp_path / "receiver") as receiver:
        api = Api(
            tmp_path / "home", database_url, opendsr_certificate=certificate, opendsr_key=key,
            opendsr_callback_hosts="127.0.0.1", allow_http=True, allow_networks="127.0.0.1/32",
        )  # fmt: skip
        yield Desk(api, api.line("bot", people(4)), receiver, domain)
        api.store.close()


def file_opendsr(desk: Desk, subject: str = "Person 1", **members: Any) -> str:
    uuid = str(uuid4())
    identity = {"identity_type": "email", "identity_value": subject, "identity_format": "raw"}
    body = {
        "regulation": "gdpr",
        "subject_request_id": uuid,
        "subject_request_type": "erasure",
        "submitted_time": "2026-01-31T15:00:00Z",
        "subject_identities": [identity],
        "status_callback_urls": [desk.receiver.url],
        **members,
    }
    response = desk.api.client.post("/opendsr/requests", json=body)
    assert response.status_code == 201, response.text
    return uuid


def signed_status(desk: Desk, request: Received) -> dict[str, Any]:
    """What a controller is told, once the domain's signature is verified."""
    key = x509.load_pem_x509_certificate(desk.domain.certificate).public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    assert request.headers["x-opendsr-processor-domain"] == DOMAIN
    key.verify(base64.b64decode(request.headers["x-opendsr-signature"]), request.body, padding.PKCS1v15(), SHA256())
    status: dict[str, Any] = json.loads(request.body)
    return status


def test_a_controller_is_told_of_every_change_and_can_verify_who_tells(desk: Desk) -> None:
    uuid = file_opendsr(desk)
    claimed = desk.api.claim_queued(desk.line)
    (first,) = desk.received(1)
    desk.api.answer(claimed)
    _, second = desk.received(2)
    told = [signed_status(desk, one) for one in (first, second)]
    assert [one["request_status"] for one in told] == ["in_progress", "completed"]
    assert {one["subject_request_id"] for one in told} == {uuid}
    polled = desk.api.client.get(f"/opendsr/requests/{uuid}").json()
    assert polled == told[1]


def test_a_request_that_is_answered_at_once_is_told_too(desk: Desk) -> None:
    file_opendsr(desk, "nobody")
    (only,) = desk.received(1)
    assert signed_status(desk, only)["request_status"] == "completed"


def test_an_agent_is_told_until_it_answers_well(desk: Desk) -> None:
    agent = Agent()
    agent.register(desk.api, callback_hosts=["127.0.0.1"])
    agent.pair(desk.api)
    desk.receiver.answer(500)
    told = agent.send(desk.api, agent.deletion(status_callback=desk.receiver.url)).json()
    request = told["request_id"]
    agent.revoke(desk.api, request, {})
    (first,) = desk.received(1)
    assert json.loads(first.body) == agent.read(desk.api, request).json()
    assert json.loads(first.body)["status"] == "revoked"
    wait_until(lambda: bool(desk.of(request).attempts))
    row = desk.of(request)
    assert (row.state, row.attempts[0]["status"], row.tries) == (DeliveryState.pending, 500, 1)
    desk.receiver.answer(200)
    with desk.api.store.write() as unit:
        unit.callbacks.wake([request], unit.now)
    desk.received(2)
    assert desk.of(request).state is DeliveryState.delivered


def test_an_address_inside_is_never_sent_to(desk: Desk) -> None:
    """The policy may have changed since the callback was accepted, or the name leads elsewhere now."""
    uuid = file_opendsr(desk, "nobody")
    with desk.api.store.read() as unit:
        request = unit.requests.by_reference(f"opendsr:{uuid}")
    assert request is not None
    with desk.sending(AddressPolicy(allow_http=True)) as send_due:
        wait_until(lambda: bool(send_due() >= 0 and desk.of(request.id).attempts))
    assert desk.of(request.id).attempts[0]["error"] == "address-refused"
    assert desk.receiver.received() == []


def test_a_controller_that_hangs_holds_few_threads(desk: Desk) -> None:
    desk.receiver.answer(200, wait_s=5)
    for _ in range(THREADS_PER_HOST + 2):
        file_opendsr(desk, "nobody")
    with desk.sending() as send_due:
        assert [send_due() for _ in range(3)] == [THREADS_PER_HOST, 0, 0]
