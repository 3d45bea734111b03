"""Whatever is sent, the pipeline files it or refuses it as the caller's mistake, and quotes none of it."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.domain.errors import LetheError
from service.domain.inbound import Provider
from service.domain.subjects import SubjectKind
from service.flows.inbound_endpoints import EndpointOrder, create_endpoint
from service.flows.vault import open_vault
from service.store.blobs import Blobs
from service.store.database import Store
from service.webhooks.inbound.delivery import Delivery
from service.webhooks.inbound.pipeline import Accepted, receive
from service.webhooks.inbound.provider import Ignored
from tests.support import senders
from tests.support.house import House, people
from tests.support.senders import Sent, Sombra

pytestmark = pytest.mark.slow

SOMBRA = Sombra()
SIGNERS = {
    Provider.standard_webhooks: (senders.SYMMETRIC, senders.standard),
    Provider.transcend: (SOMBRA.secret, SOMBRA.sign),
    Provider.shopify: (senders.SHARED, senders.shopify),
    Provider.segment: (senders.SHARED, senders.segment),
    Provider.api_key: (senders.SHARED, senders.with_key),
}
CANARY = "Zaphod"
WORDS = ["type", "data", "subject", "kind", "value", "sha256", "email", "request_id", "operation", "erase", "delete",
         "erasure.requested", "correction.requested", "instance_id", "p1-0", "completion", "prompt", "instance_ids",
         "customer", "id", "orders_to_redact", "userId", "messageId", "ERASURE", "coreIdentifier", "name", "extras",
         "profile", "identifier", "request", "received_at", "2026-01-01T00:00:00Z", "regulation", "gdpr",
         "Person 1"]  # fmt: skip
TEXTS = st.one_of(st.sampled_from(WORDS), st.text(max_size=8), st.just(CANARY))
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), TEXTS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
# Near misses: the right members with any values.
SHAPES = st.one_of(
    st.fixed_dictionaries(
        {"type": st.sampled_from(WORDS)},
        optional={
            "data": st.dictionaries(TEXTS, VALUES, max_size=5),
            "coreIdentifier": VALUES,
            "extras": VALUES,
            "messageId": TEXTS,
            "userId": VALUES,
        },
    ),
    st.fixed_dictionaries({"operation": st.sampled_from(WORDS)}, optional=dict.fromkeys(WORDS[2:8], VALUES)),
    st.fixed_dictionaries({"orders_to_redact": VALUES, "customer": VALUES}),
    st.dictionaries(TEXTS, VALUES, max_size=5),
)
# Threads and files make the first calls slow.
RELAXED = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def endpoints(sqlite_url: str, tmp_path: Path) -> Iterator[tuple[House, dict[Provider, str]]]:
    """A house with a line, and one endpoint a provider."""
    store = Store(sqlite_url)
    house = House(store, open_vault(store, bytes(range(32))), Blobs((tmp_path / "blobs").as_uri()), tmp_path / "trees")
    house.line("bot", people(200))
    ids = {}
    with store.write() as unit:
        for provider, (secret, _) in SIGNERS.items():
            order = EndpointOrder(provider, "fuzz", None, {"id": SubjectKind.user_id}, None, None)
            ids[provider] = create_endpoint(unit, house.vault, order, secret, actor="key_test").id
    yield house, ids
    store.close()


def outcome_of(house: House, provider: str, endpoint_id: str, sent: Sent) -> Accepted | Ignored | LetheError:
    delivery = Delivery(dict(sent.headers), sent.body, datetime.now(UTC))
    try:
        return receive(house.store, house.vault, provider, endpoint_id, delivery, zone=UTC)
    except LetheError as refusal:
        return refusal


def is_the_callers_mistake(refusal: LetheError) -> bool:
    told = f"{refusal.detail} {refusal.field} {refusal.fix} {refusal.extra}"
    return 400 <= refusal.status < 500 and bool(refusal.detail) and CANARY not in told


@RELAXED
@given(provider=st.sampled_from(list(SIGNERS)), payload=SHAPES)
def test_signed_payloads_of_any_shape(
    endpoints: tuple[House, dict[Provider, str]], provider: Provider, payload: dict[str, Any]
) -> None:
    house, ids = endpoints
    _, sign = SIGNERS[provider]
    outcome = outcome_of(house, provider, ids[provider], sign(payload))
    if isinstance(outcome, LetheError):
        assert is_the_callers_mistake(outcome)
        assert outcome.status != 401


@RELAXED
@given(
    provider=st.sampled_from(list(SIGNERS)),
    body=st.one_of(st.binary(max_size=200), VALUES.map(lambda value: json.dumps(value).encode())),
    headers=st.dictionaries(
        st.sampled_from(
            ["webhook-id", "webhook-timestamp", "webhook-signature", "svix-id", "svix-signature", "x-sombra-token",
             "x-transcend-nonce", "x-shopify-hmac-sha256", "x-shopify-topic", "x-signature", "x-api-key",
             "authorization"]
        ),
        st.one_of(st.text(max_size=60), st.sampled_from(["v1,AAAA", "v1a,AAAA", "1700000000", "a.b.c"])),
        max_size=8,
    ),
)  # fmt: skip
def test_unsigned_deliveries_never_get_past_the_proof(
    endpoints: tuple[House, dict[Provider, str]], provider: Provider, body: bytes, headers: dict[str, str]
) -> None:
    house, ids = endpoints
    outcome = outcome_of(house, provider, ids[provider], Sent(headers, body))
    assert isinstance(outcome, LetheError)
    assert is_the_callers_mistake(outcome)
    assert outcome.status == 401
