"""At every point that api, control and sender pass they are killed, frozen, or see an error.

The test plays the worker. `make test` runs a few of the cases, `make test-faults` all of them.
"""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr
from redis import Redis
from rq import Queue

from service.domain.inbound import Provider
from service.domain.runs import Lane
from service.domain.states import VersionState
from service.domain.webhooks import DeliveryState, SignatureScheme
from service.evidence.tokens import new_token
from service.failpoints import POINTS
from service.flows import inbound_endpoints, webhook_endpoints
from service.store.database import Unit
from tests.faults.conftest import Open
from tests.faults.matrix import CONTROL, GROUPS, INTAKE, SENDER, cases
from tests.support import senders
from tests.support.armed import Armed, insist, receipts, until_quiet
from tests.support.deployment import Deployment
from tests.support.house import ACTOR, people, remove
from tests.support.invariants import assert_nothing_lost
from tests.support.ports import free_port
from tests.support.receiver import receiving

pytestmark = pytest.mark.faults


def test_every_point_is_in_the_matrix() -> None:
    listed = [point for group in GROUPS for point in group]
    assert sorted(listed) == sorted(POINTS)


@pytest.mark.parametrize(("point", "fault", "backend"), cases(INTAKE))
def test_while_a_request_is_filed(point: str, fault: str, backend: str, opened: Open) -> None:
    key = new_token()
    deployment = opened(backend, has_line=False, port=free_port(), admin_key=SecretStr(key))
    line = deployment.line("bot", people(8))
    if point.startswith("create"):
        sent = senders.Sent({"authorization": f"Bearer {key}", "idempotency-key": "once"}, senders.encoded(
            {"operations": [{"type": "remove", "select": {"subject": "Person 1"}}]}
        ))  # fmt: skip
        path = "/v1/unlearning-requests"
    else:
        sent = senders.with_key({"operation": "erase", "subject": "Person 1", "request_id": "1"})
        path = f"/v1/inbound/api_key/{inbound_endpoint(deployment)}"
    headers = {"content-type": "application/json", **sent.headers}
    armed = Armed(deployment, "service.api", point, fault)
    with ThreadPoolExecutor(1) as client:
        asked = client.submit(insist, f"{deployment.settings.url}{path}", sent.body, headers)
        armed.see_it_through()
        answer = asked.result()
    with deployment.store.read() as unit:
        (request,) = unit.requests.list(after=None, limit=10).items
    assert request.id == answer.get("id", answer.get("request"))
    deployment.start("service.control")
    deployment.serve(line)
    deployment.until_succeeded(request.id)
    until_quiet(deployment)
    assert_nothing_lost(deployment, {request.id: answer["receipt"]})


def inbound_endpoint(deployment: Deployment) -> str:
    order = inbound_endpoints.EndpointOrder(Provider.api_key, "desk", None, {}, None, None)
    with deployment.store.write() as unit:
        return inbound_endpoints.create_endpoint(unit, deployment.vault, order, senders.SHARED, actor=ACTOR).id


@pytest.mark.parametrize(("point", "fault", "backend"), cases(CONTROL))
def test_while_control_hints_repairs_and_sweeps(point: str, fault: str, backend: str, opened: Open) -> None:
    """A run lost its worker, one its hint, and a version is to be withdrawn and deleted."""
    deployment = opened(backend, has_line=False)
    lost, unheard, outdated = (deployment.line(name, people(8)) for name in ("lost", "unheard", "outdated"))
    first = deployment.submit(remove("p0-0"), adapters=["lost"])
    second = deployment.submit(remove("p0-0"), adapters=["unheard"])
    answered = []
    for instance in ("p0-0", "p1-0"):
        answered.append(deployment.submit(remove(instance), adapters=["outdated"]))
        deployment.serve(outdated)
    run = deployment.claim_queued(lost).run_id
    with deployment.store.write() as unit:
        unit.runs.lock(run).lease_until = unit.now - timedelta(seconds=1)  # type: ignore[union-attr]
        unit.runs.queued(unheard, Lane.answer).hinted_at = unit.now - timedelta(hours=1)  # type: ignore[union-attr]
        unit.versions.of_line(outdated)[1].withdraw_at = unit.now
    given = receipts(deployment, first, second, *answered)
    armed = Armed(deployment, "service.control", point, fault)
    armed.see_it_through()

    def is_repaired(unit: Unit) -> bool:
        old = unit.versions.of_line(outdated)[1]
        return (
            unit.runs.queued(lost, Lane.answer) is not None
            and old.state is VersionState.withdrawn
            and old.blob_prefix is None
            and unit.runs.outbox_lag(unit.now) == 0
            and unit.runs.queued(unheard, Lane.answer).hinted_at > unit.now - timedelta(minutes=30)  # type: ignore[union-attr]
        )

    deployment.until(is_repaired)
    told = {job.split("-")[0] for job in jobs(deployment)}
    for line in (lost, unheard):
        assert deployment.queued_run(line) in told, "no worker hears of it"
        deployment.serve(line)
    until_quiet(deployment)
    assert_nothing_lost(deployment, given)


def jobs(deployment: Deployment) -> list[str]:
    with Redis.from_url(deployment.settings.redis_url) as client:
        return list(Queue("default", connection=client).job_ids)


@pytest.mark.parametrize(("point", "fault", "backend"), cases(SENDER))
def test_while_webhooks_are_sent(point: str, fault: str, backend: str, opened: Open, tmp_path: Path) -> None:
    deployment = opened(backend, has_line=False, allow_http=True, allow_networks="127.0.0.1/32")
    line = deployment.line("bot", people(8))
    with receiving(tmp_path / "receiver") as receiver:
        order = webhook_endpoints.EndpointOrder(receiver.url, SignatureScheme.ed25519, event_types=["request.*"])
        with deployment.store.write() as unit:
            endpoint = webhook_endpoints.create_endpoint(unit, deployment.vault, order, actor=ACTOR)[0].id
        request = deployment.submit(remove("p0-0"))
        deployment.serve(line)
        armed = Armed(deployment, "service.control.sender", point, fault)
        armed.see_it_through()
        end_leases(deployment, endpoint)
        deployment.until(lambda unit: is_delivered(unit, endpoint, request))
        assert_nothing_lost(deployment, receipts(deployment, request), settled=False)
        told = {one.message["data"]["event"]: one.id for one in receiver.received()}
    with deployment.store.read() as unit:
        rows = unit.webhooks.deliveries(endpoint, after=None, limit=100).items
        assert told == {row.event_seq: row.id for row in rows}, "an event has one id, however often it is sent"


def is_delivered(unit: Unit, endpoint: str, request: str) -> bool:
    rows = unit.webhooks.deliveries(endpoint, after=None, limit=100).items
    told = unit.feed.events(0, limit=1000, request_id=request)
    expected = {event.seq for event in told if event.type.startswith("request.")}
    return {row.event_seq for row in rows if row.state is DeliveryState.delivered} >= expected


def end_leases(deployment: Deployment, endpoint: str) -> None:
    """A minute and a half goes by, so that what a dead sender took is taken again."""
    with deployment.store.write() as unit:
        for row in unit.webhooks.deliveries(endpoint, after=None, limit=100).items:
            if row.state is DeliveryState.pending and row.next_attempt_at is not None:
                row.next_attempt_at = unit.now
