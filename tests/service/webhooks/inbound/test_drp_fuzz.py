"""Whatever an agent signs is filed or refused as its mistake, and whatever it did not sign is refused unread."""

import base64
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.domain.errors import InvalidInput, LetheError, NotFromSender, Unreadable
from service.domain.inbound import Provider
from service.domain.subjects import SubjectKind
from service.egress.address import AddressPolicy
from service.flows.inbound_endpoints import EndpointOrder, create_endpoint
from service.flows.vault import open_vault
from service.store.blobs import Blobs
from service.store.database import Store
from service.webhooks.inbound.callbacks import check_callback
from service.webhooks.inbound.drp.receiver import Receiver
from tests.support.drp import AGENT, BUSINESS, Agent, altered
from tests.support.house import House, people

CANARY = "Zaphod"
HOST = "agent.example.com"
TEXTS = st.one_of(st.text(max_size=8), st.just(CANARY), st.sampled_from(["deletion", "ccpa", "1.0", AGENT, BUSINESS]))
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), TEXTS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=8,
)
MEMBERS = [
    "agent-id", "business-id", "issued-at", "expires-at", "drp.version", "exercise", "regime", "agent-request-id",
    "relationships", "email", "email_verified", "phone_number", "phone_number_verified", "customer", "status_callback",
]  # fmt: skip
# Threads and files make the first calls slow.
RELAXED = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@dataclass(frozen=True)
class Desk:
    receiver: Receiver
    agent: Agent
    token: str


@pytest.fixture
def desk(sqlite_url: str, tmp_path: Path) -> Iterator[Desk]:
    """A paired agent, and a line about many people."""
    store, agent = Store(sqlite_url), Agent()
    house = House(store, open_vault(store, bytes(range(32))), Blobs((tmp_path / "blobs").as_uri()), tmp_path / "trees")
    house.line("bot", people(200))
    order = EndpointOrder(
        Provider.drp, "fuzz", None, {"customer": SubjectKind.customer_id}, None, None, AGENT, BUSINESS, [HOST]
    )
    with store.write() as unit:
        create_endpoint(unit, house.vault, order, agent.verify_key, actor="key_test")
    receiver = Receiver(store, house.vault, AddressPolicy(), UTC)
    yield Desk(receiver, agent, receiver.pair(AGENT, agent.signed(agent.claims()), datetime.now(UTC)))
    store.close()


def outcome(desk: Desk, body: bytes) -> object:
    """The status, or the refusal, which must be one of what was sent, and quote none of it."""
    refusal: LetheError
    try:
        return desk.receiver.exercise(desk.token, body, datetime.now(UTC))
    except LetheError as error:
        refusal = error
    assert 400 <= refusal.status < 500
    assert CANARY not in f"{refusal.detail} {refusal.field} {refusal.fix} {refusal.extra}"
    return refusal


@RELAXED
@given(members=st.dictionaries(st.sampled_from(MEMBERS), VALUES, max_size=4), extra=st.dictionaries(TEXTS, VALUES))
def test_signed_near_misses(desk: Desk, members: dict[str, Any], extra: dict[str, Any]) -> None:
    told = outcome(desk, desk.agent.signed({**extra, **desk.agent.deletion(**members)}))
    assert not isinstance(told, NotFromSender) or members.keys() & {"issued-at", "expires-at"}


@RELAXED
@given(message=st.one_of(st.binary(max_size=200), VALUES.map(repr).map(str.encode)))
def test_signed_bytes_of_any_kind(desk: Desk, message: bytes) -> None:
    assert isinstance(outcome(desk, desk.agent.signed(message)), LetheError)


@RELAXED
@given(body=st.one_of(st.binary(max_size=300), st.binary(min_size=64, max_size=300).map(base64.b64encode)))
def test_unsigned_bodies_never_get_past_the_proof(desk: Desk, body: bytes) -> None:
    assert isinstance(outcome(desk, body), NotFromSender | Unreadable)
    with pytest.raises(LetheError):
        desk.receiver.pair(AGENT, body, datetime.now(UTC))


@RELAXED
@given(position=st.integers(0, 400))
def test_one_bit_decides(desk: Desk, position: int) -> None:
    body = desk.agent.signed(desk.agent.deletion())
    changed = altered(body, position % len(base64.b64decode(body)))
    assert isinstance(outcome(desk, changed), NotFromSender)


PARTS = [
    "https",
    "http",
    "://",
    "@",
    "#",
    "?",
    "/",
    "\\",
    ".",
    ":",
    "[::1]",
    "127.0.0.1",
    HOST,
    "evil.example",
    "%2e",
    "é",
]


@RELAXED
@given(url=st.one_of(st.text(max_size=60), st.lists(st.sampled_from(PARTS), max_size=8).map("".join)))
def test_a_callback_that_is_accepted_leads_to_an_allowed_host(url: str) -> None:
    policy = AddressPolicy((ip_network("127.0.0.1/32"),))
    with suppress(InvalidInput):
        check_callback(url, [HOST], policy, field="/status_callback", fix="Leave it out.")
        parts = urlsplit(url)
        assert (parts.scheme, parts.hostname, parts.username) == ("https", HOST, None)
