"""A deployment with something of everything that the desk shows."""

from dataclasses import dataclass
from datetime import timedelta

from service.domain.decisions import RejectionCode
from service.domain.engine import EngineFailure, FailureClass, Stage
from service.domain.inbound import Provider
from service.domain.runs import Lane
from service.domain.webhooks import Attempt, SignatureScheme
from service.flows import decide
from service.flows.deliver import claim_delivery, settle
from service.flows.fail import fail
from service.flows.fan_out import fan_out
from service.flows.inbound_endpoints import EndpointOrder as InboundOrder
from service.flows.inbound_endpoints import create_endpoint as create_inbound_endpoint
from service.flows.progress import report_progress
from service.flows.webhook_endpoints import EndpointOrder, create_endpoint
from service.store.tables import UnlearningRequest
from tests.support.house import House, people, remove, remove_subject

INBOUND_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>'


@dataclass(frozen=True)
class World:
    """The ids of what is in it."""

    answered: str
    waiting: str
    running: str
    stuck: str
    held: str
    overdue: str
    rejected: str
    unmatched: str
    hook: str
    delivery: str


def furnish(house: House) -> World:
    """Two lines, requests in every kind of state, a webhook endpoint and an inbound one."""
    bot = house.line("support-bot", people(30), promotion="automatic", complete_at="M")
    house.line("sales-bot", people(20), require_approval=True)
    house.line("imported", people(6), recipe=None)
    house.show_worker()
    hook = _hook(house)
    answered = house.submit(remove_subject("Person 1"), adapters=["support-bot"], client_reference="DSR-2041",
                            regulation="gdpr")  # fmt: skip
    house.serve(bot)
    _rebuild(house, bot)
    house.submit(remove("p2-0"), adapters=["support-bot"], client_reference="DSR-2042", regulation="ccpa")
    house.serve(bot)
    stuck = house.submit(remove("p3-0", "p3-1"), adapters=["support-bot"], client_reference="DSR-2043")
    house.serve(bot, passed=False)
    _fail_rebuild(house, bot)
    waiting = house.submit(remove_subject("Person 4"), adapters=["sales-bot"], client_reference="DSR-2044",
                           regulation="gdpr")  # fmt: skip
    rejected = house.submit(remove("p5-0"), adapters=["sales-bot"], client_reference="DSR-2045")
    held = house.submit(remove("p6-0"), adapters=["sales-bot"], client_reference="DSR-2046", regulation="uk_gdpr")
    overdue = house.submit(remove("p7-0"), adapters=["sales-bot"], client_reference=HOSTILE, regulation="gdpr")
    unmatched = house.submit(remove_subject("Nobody"), client_reference="DSR-2048", regulation="gdpr")
    running = house.submit(remove("p8-0"), adapters=["support-bot"])
    claimed = house.claim_queued(bot)
    with house.store.write() as unit:
        report_progress(unit, claimed.run_id, claimed.fence, Stage.solving, 0.45)
        code = RejectionCode.insufficient_verification
        decide.reject(unit, house.vault, rejected, actor="key_other", reason_code=code, reason="identity not proven")
        decide.hold(unit, held, actor="key_other", reason="litigation")
        late = unit.session.get_one(UnlearningRequest, overdue)
        late.received_at -= timedelta(days=40)
        late.due_at -= timedelta(days=38)
        soon = unit.session.get_one(UnlearningRequest, waiting)
        soon.received_at -= timedelta(days=27)
        soon.due_at -= timedelta(days=27)
    delivery = _deliver(house, hook)
    return World(answered, waiting, running, stuck, held, overdue, rejected, unmatched, hook, delivery)


def _rebuild(house: House, line: str) -> None:
    assert house.rebuild(house.begin_rebuild(line, actor="key_other")) is None


def _fail_rebuild(house: House, line: str) -> None:
    """An update that failed its verification went to a rebuild; that fails for good."""
    failure = EngineFailure(FailureClass.permanent, "out-of-memory", "The training run does not fit the device.")
    claimed = house.claim_queued(line, Lane.compact)
    with house.store.write() as unit:
        fail(unit, claimed, failure)


def _hook(house: House) -> str:
    with house.store.write() as unit:
        order = EndpointOrder("https://hooks.example.com/lethe", SignatureScheme.ed25519, HOSTILE)
        endpoint, _ = create_endpoint(unit, house.vault, order, actor="key_other")
        inbound = InboundOrder(Provider.standard_webhooks, "privacy portal", None, {}, None, "gdpr")
        create_inbound_endpoint(
            unit, house.vault, inbound, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", actor="key_other"
        )
    return str(endpoint.id)


def _deliver(house: House, hook: str) -> str:
    """The first delivery fails for now, the rest arrive."""
    with house.store.write() as unit:
        fan_out(unit, hook)
    first = None
    while True:
        with house.store.write() as unit:
            claimed = claim_delivery(unit, house.vault, hook)
        if claimed is None:
            break
        with house.store.write() as unit:
            settle(unit, claimed, Attempt(503 if first is None else 204, None, 0.041), chance=0)
        first = first or claimed.id
    assert first is not None
    return first
