"""Outgoing webhooks: who is told of what, when it is tried again, and when an endpoint is given up."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.domain.errors import Conflict, InvalidInput, NotFound
from service.domain.webhooks import (
    PAUSES_S,
    Attempt,
    AttemptError,
    DeliveryState,
    DisabledReason,
    SignatureScheme,
)
from service.flows.deliver import LEASE, ClaimedDelivery, claim_delivery, settle
from service.flows.fan_out import BATCH, fan_out
from service.flows.reconcile import reconcile
from service.flows.redeliver import recover, resend, send_test
from service.flows.webhook_endpoints import (
    EndpointOrder,
    change_endpoint,
    create_endpoint,
    delete_endpoint,
    rotate_secret,
)
from service.store.tables import WebhookDelivery, WebhookEndpoint, WebhookSecret
from tests.support.house import ACTOR, House, people, remove

DONE = Attempt(204, None, 0.05)
BROKEN = Attempt(500, None, 0.05)
SILENT = Attempt(None, AttemptError.timeout, 15.0)


class Hook:
    """An endpoint of a house, and the sender that the test plays."""

    def __init__(self, house: House, **order: Any) -> None:
        self.house = house
        chosen = {"url": "https://example.com/hook", "scheme": SignatureScheme.ed25519, **order}
        with house.store.write() as unit:
            self.id = create_endpoint(unit, house.vault, EndpointOrder(**chosen), actor=ACTOR)[0].id
        # Its own creation is the first thing that it is told of.
        self.fan_out()
        for _ in self.sent():
            pass

    def fan_out(self) -> int:
        with self.house.store.write() as unit:
            return fan_out(unit, self.id)

    def emit(self, *types: str, **members: Any) -> None:
        with self.house.store.write() as unit:
            for type_ in types:
                unit.emit(type_, **members)
        self.fan_out()

    def claim(self) -> ClaimedDelivery | None:
        with self.house.store.write() as unit:
            return claim_delivery(unit, self.house.vault, self.id)

    def settle(self, claimed: ClaimedDelivery, attempt: Attempt = DONE) -> None:
        with self.house.store.write() as unit:
            settle(unit, claimed, attempt, chance=0)

    def send(self, attempt: Attempt = DONE) -> dict[str, Any] | None:
        """Send what is due longest, with this result; the message, if there was one."""
        claimed = self.claim()
        if claimed is None:
            return None
        self.settle(claimed, attempt)
        message: dict[str, Any] = json.loads(claimed.body)
        return message

    def sent(self) -> list[str]:
        """Deliver all that is due; the types."""
        types = []
        while message := self.send():
            types.append(message["type"])
        return types

    def change(self, **changes: Any) -> None:
        with self.house.store.write() as unit:
            change_endpoint(unit, self.id, changes, actor=ACTOR)

    def recover(self, since: datetime) -> None:
        with self.house.store.write() as unit:
            recover(unit, self.id, since=since, actor=ACTOR)
        while self.fan_out():
            pass

    @property
    def row(self) -> WebhookEndpoint:
        with self.house.store.read() as unit:
            found = unit.webhooks.endpoint(self.id)
        assert found is not None
        return found

    @property
    def deliveries(self) -> list[WebhookDelivery]:
        """Oldest first, without that of its creation."""
        with self.house.store.read() as unit:
            page = unit.webhooks.deliveries(self.id, after=None, limit=1000)
        return [row for row in reversed(page.items) if row.type != "webhook_endpoint.created"]

    @property
    def states(self) -> list[DeliveryState]:
        return [row.state for row in self.deliveries]


@pytest.fixture
def hook(house: House) -> Hook:
    return Hook(house)


class TestFanOut:
    def test_a_whole_request_is_told_in_the_order_of_the_feed_without_a_word_of_its_texts(
        self, house: House, hook: Hook
    ) -> None:
        line = house.line("bot", people(4))
        request = house.submit(remove("p0-0"))
        house.serve(line)
        hook.fan_out()
        bodies = []
        while claimed := hook.claim():
            hook.settle(claimed)
            bodies.append(claimed.body)
        messages = [json.loads(body) for body in bodies]
        with house.store.read() as unit:
            feed = [event for event in unit.feed.events(0, limit=1000) if event.type != "webhook_endpoint.created"]
        assert [message["data"]["event"] for message in messages] == [event.seq for event in feed]
        (issued,) = (message for message in messages if message["type"] == "certificate.issued")
        assert issued["data"]["request"] == request
        assert issued["data"]["adapter"] == "bot"
        assert datetime.fromisoformat(issued["timestamp"]).tzinfo is not None
        assert not any(word in body for body in bodies for word in (b"Person", b"p0-0", b"Fact", b"Answer"))

    def test_what_happened_before_the_endpoint_was_made_is_not_told(self, house: House) -> None:
        house.line("bot", people(2))
        assert Hook(house).deliveries == []

    def test_types_that_were_asked_for(self, house: House) -> None:
        hook = Hook(house, event_types=["request.*", "alias.moved"])
        hook.emit("request.state", "run.started", "alias.moved", "alias.removed")
        assert hook.sent() == ["request.state", "alias.moved"]

    def test_progress_is_told_to_those_who_name_it(self, house: House, hook: Hook) -> None:
        eager = Hook(house, event_types=["run.progress"])
        hook.sent()
        hook.emit("run.progress")
        eager.fan_out()
        assert hook.sent() == ["webhook_endpoint.created"]
        assert eager.sent() == ["run.progress"]

    def test_lines_and_the_requests_that_affect_them(self, house: House) -> None:
        house.line("mine", people(4))
        house.line("theirs", people(4))
        hook = Hook(house, lines=["mine"], event_types=["request.created", "alias.moved", "signing_key.rotated"])
        own, foreign = (house.submit(remove("p0-0"), adapters=[name]) for name in ("mine", "theirs"))
        both = house.submit(remove("p1-0"), adapters=["mine", "theirs"])
        hook.emit("alias.moved", adapter="mine")
        hook.emit("alias.moved", adapter="theirs")
        hook.emit("signing_key.rotated")
        told = [(row.type, row.payload["data"]["request"]) for row in hook.deliveries]
        assert told == [("request.created", own), ("request.created", both), ("alias.moved", None)]
        assert foreign not in str(told)

    def test_a_pass_that_dies_loses_nothing_and_tells_nothing_twice(self, house: House, hook: Hook) -> None:
        with house.store.write() as unit:
            unit.emit("request.state")

        def dies() -> None:
            with house.store.write() as unit:
                assert fan_out(unit, hook.id) == 1
                raise RuntimeError("power cut")

        with pytest.raises(RuntimeError, match="power cut"):
            dies()
        assert hook.deliveries == []
        assert [hook.fan_out(), hook.fan_out()] == [1, 0]
        assert hook.sent() == ["request.state"]

    def test_a_long_backlog_goes_in_batches(self, hook: Hook) -> None:
        hook.emit(*["request.state"] * (BATCH + 1))
        assert hook.fan_out() == 1
        assert hook.fan_out() == 0
        with hook.house.store.read() as unit:
            assert unit.webhooks.count_by_state()[DeliveryState.pending] == BATCH + 1


class TestAttempts:
    def test_a_failed_one_is_repeated_under_its_id_after_growing_pauses_until_it_is_given_up(
        self, hook: Hook, later: Any
    ) -> None:
        hook.emit("request.state")
        passed, ids = timedelta(), set()
        for pause in (*PAUSES_S, None):
            claimed = hook.claim()
            assert claimed is not None
            ids.add(claimed.id)
            hook.settle(claimed, BROKEN)
            if pause is not None:
                later(passed + timedelta(seconds=pause - 1))
                assert hook.claim() is None
                passed += timedelta(seconds=pause + 1)
                later(passed)
        (delivery,) = hook.deliveries
        assert (delivery.state, delivery.next_attempt_at) == (DeliveryState.failed, None)
        assert ids == {delivery.id}
        assert [attempt["status"] for attempt in delivery.attempts] == [500] * 10
        assert hook.row.disabled_at is None, "three days are not yet five"

    def test_success_ends_it(self, hook: Hook, later: Any) -> None:
        hook.emit("request.state")
        hook.send(SILENT)
        assert hook.row.failing_since is not None
        later(timedelta(seconds=10))
        hook.send()
        (delivery,) = hook.deliveries
        assert delivery.state is DeliveryState.delivered
        assert [(a["status"], a["error"]) for a in delivery.attempts] == [(None, "timeout"), (204, None)]
        assert hook.row.failing_since is None

    def test_retry_after_is_waited_for(self, hook: Hook, later: Any) -> None:
        hook.emit("request.state")
        hook.send(Attempt(503, None, 0.1, retry_after_s=600))
        later(timedelta(seconds=590))
        assert hook.claim() is None
        later(timedelta(seconds=610))
        assert hook.claim() is not None

    def test_a_sender_that_dies_leaves_it_to_the_next_and_one_that_wakes_up_is_not_believed(
        self, hook: Hook, later: Any
    ) -> None:
        hook.emit("request.state")
        dead = hook.claim()
        assert dead is not None
        assert hook.claim() is None
        later(LEASE + timedelta(seconds=1))
        alive = hook.claim()
        assert alive is not None
        assert (alive.id, alive.fence) == (dead.id, dead.fence + 1)
        hook.settle(dead, BROKEN)
        assert hook.states == [DeliveryState.pending]
        hook.settle(alive)
        (delivery,) = hook.deliveries
        assert delivery.state is DeliveryState.delivered
        assert [attempt["status"] for attempt in delivery.attempts] == [204]


class TestGivenUp:
    def test_410_switches_it_off_at_once_and_is_told(self, hook: Hook) -> None:
        hook.emit("request.state", "request.held")
        hook.send(Attempt(410, None, 0.1))
        assert hook.row.disabled_reason is DisabledReason.gone
        assert hook.states == [DeliveryState.failed, DeliveryState.canceled]
        with hook.house.store.read() as unit:
            event, row = unit.feed.events(0, limit=100)[-1], unit.feed.audit_rows(0, 100)[-1]
        assert (event.type, event.data) == ("webhook_endpoint.disabled", {"endpoint": hook.id, "reason": "gone"})
        assert row.action == "webhook_endpoint.disabled"

    def test_so_do_five_days_without_a_success(self, hook: Hook, later: Any) -> None:
        hook.emit("request.state")
        hook.send(SILENT)
        later(timedelta(days=4, hours=23))
        hook.send(SILENT)
        assert hook.row.disabled_at is None
        later(timedelta(days=5, hours=5))
        hook.send(SILENT)
        assert hook.row.disabled_reason is DisabledReason.failing
        assert hook.states == [DeliveryState.canceled]

    def test_one_success_in_between_begins_the_days_anew(self, hook: Hook, later: Any) -> None:
        hook.emit("request.state", "request.held")
        hook.send(SILENT)
        later(timedelta(days=4))
        hook.send()
        later(timedelta(days=6))
        hook.send(SILENT)
        assert hook.row.disabled_at is None

    def test_what_was_under_way_when_it_was_switched_off_counts_if_it_arrived(self, hook: Hook) -> None:
        hook.emit("request.state", "request.held")
        first, second = hook.claim(), hook.claim()
        assert first is not None
        assert second is not None
        hook.change(enabled=False)
        hook.settle(first, DONE)
        hook.settle(second, BROKEN)
        assert hook.states == [DeliveryState.delivered, DeliveryState.canceled]

    def test_nothing_is_sent_while_it_is_off_and_on_again_it_is_told_of_what_comes(self, hook: Hook) -> None:
        hook.change(enabled=False)
        hook.emit("request.state")
        assert hook.claim() is None
        hook.change(enabled=True)
        assert (hook.row.disabled_at, hook.row.disabled_reason) == (None, None)
        hook.emit("request.held")
        assert hook.sent() == ["webhook_endpoint.changed", "request.held"]


class TestAgain:
    def test_resend_uses_the_same_id_and_a_fresh_schedule(self, hook: Hook, later: Any) -> None:
        hook.emit("request.state")
        first = hook.claim()
        assert first is not None
        hook.settle(first)
        with hook.house.store.write() as unit:
            resend(unit, hook.id, first.id, actor=ACTOR)
        again = hook.claim()
        assert again is not None
        assert (again.id, again.body) == (first.id, first.body)
        hook.settle(again, BROKEN)
        later(timedelta(seconds=6))
        assert hook.claim() is not None, "five seconds after the first failure"

    def test_recover_sends_what_failed_what_was_canceled_and_what_happened_meanwhile_but_nothing_twice(
        self, hook: Hook
    ) -> None:
        since = datetime.now(UTC) - timedelta(seconds=5)
        hook.emit("request.created")
        assert hook.sent() == ["request.created"]
        hook.emit("request.held", "request.released")
        hook.send(Attempt(410, None, 0.1))
        hook.emit("request.state")
        hook.change(enabled=True)
        hook.recover(since)
        own = {"webhook_endpoint.disabled", "webhook_endpoint.changed"}
        assert sorted(set(hook.sent()) - own) == ["request.held", "request.released", "request.state"]
        hook.recover(since)
        assert hook.sent() == []

    def test_recover_does_not_go_back_farther_than_it_was_asked_to(self, hook: Hook, later: Any) -> None:
        hook.emit("request.created")
        hook.send(Attempt(410, None, 0.1))
        hook.change(enabled=True)
        later(timedelta(hours=1))
        with hook.house.store.read() as unit:
            since = unit.now - timedelta(minutes=1)
        hook.emit("request.held")
        hook.recover(since)
        assert "request.created" not in hook.sent()

    def test_neither_while_it_is_off_nor_for_longer_than_deliveries_are_kept(self, hook: Hook) -> None:
        with pytest.raises(InvalidInput) as caught:
            hook.recover(datetime.now(UTC) - timedelta(days=31))
        assert caught.value.field == "/since"
        hook.emit("request.state")
        (delivery,) = hook.deliveries
        hook.change(enabled=False)
        with hook.house.store.write() as unit:
            for call in (
                lambda: recover(unit, hook.id, since=unit.now, actor=ACTOR),
                lambda: resend(unit, hook.id, delivery.id, actor=ACTOR),
                lambda: send_test(unit, hook.id, actor=ACTOR),
            ):
                with pytest.raises(Conflict) as refused:
                    call()
                assert refused.value.code == "endpoint-disabled"

    def test_a_test_is_sent_whatever_the_filters_say(self, house: House) -> None:
        hook = Hook(house, event_types=["alias.moved"], lines=["bot"])
        with house.store.write() as unit:
            send_test(unit, hook.id, actor=ACTOR)
        assert hook.send() is not None
        (delivery,) = hook.deliveries
        assert delivery.payload["type"] == "webhook_endpoint.test"
        assert delivery.payload["data"] == {"endpoint": hook.id}


class TestKeys:
    def test_both_sign_for_the_overlap_then_the_new_one_alone(self, hook: Hook, later: Any) -> None:
        (first,) = self.signing(hook)
        self.rotate(hook, timedelta(hours=2))
        new, old = self.signing(hook)
        assert old == first
        later(timedelta(hours=2, seconds=1))
        assert self.signing(hook) == [new]

    def test_a_compromised_one_stops_at_once(self, hook: Hook) -> None:
        (first,) = self.signing(hook)
        self.rotate(hook, timedelta())
        (only,) = self.signing(hook)
        assert only != first

    def test_a_second_rotation_does_not_prolong_the_first_key(self, hook: Hook, later: Any) -> None:
        self.rotate(hook, timedelta(hours=1))
        self.rotate(hook, timedelta(days=1))
        assert len(self.signing(hook)) == 3
        later(timedelta(hours=1, seconds=1))
        assert len(self.signing(hook)) == 2

    def test_the_scheme_may_change(self, hook: Hook) -> None:
        self.rotate(hook, timedelta(hours=1), SignatureScheme.hmac)
        assert [scheme for scheme, _ in self.signing(hook)] == [SignatureScheme.hmac, SignatureScheme.ed25519]

    def test_one_that_no_longer_signs_is_destroyed(self, hook: Hook, later: Any) -> None:
        self.rotate(hook, timedelta(hours=1))
        later(timedelta(hours=2))
        reconcile(hook.house.store, hook.house.blobs)
        with hook.house.store.read() as unit:
            assert unit.session.query(WebhookSecret).count() == 1

    @staticmethod
    def rotate(hook: Hook, overlap: timedelta, scheme: SignatureScheme | None = None) -> None:
        with hook.house.store.write() as unit:
            rotate_secret(unit, hook.house.vault, hook.id, scheme=scheme, overlap=overlap, actor=ACTOR)

    @staticmethod
    def signing(hook: Hook) -> list[tuple[SignatureScheme, bytes]]:
        hook.emit("request.state")
        keys = []
        while claimed := hook.claim():
            hook.settle(claimed)
            keys = [(key.scheme, key.secret) for key in claimed.keys]
        return keys


class TestForgotten:
    def test_an_endpoint_goes_with_all_that_was_sent_to_it(self, hook: Hook) -> None:
        hook.emit("request.state")
        under_way = hook.claim()
        assert under_way is not None
        with hook.house.store.write() as unit:
            delete_endpoint(unit, hook.id, actor=ACTOR)
        hook.settle(under_way)
        with hook.house.store.read() as unit:
            for table in (WebhookEndpoint, WebhookSecret, WebhookDelivery):
                assert unit.session.query(table).count() == 0
            assert unit.feed.events(0, limit=100)[-1].type == "webhook_endpoint.deleted"
        with pytest.raises(NotFound), hook.house.store.write() as unit:
            delete_endpoint(unit, hook.id, actor=ACTOR)

    def test_deliveries_go_thirty_days_after_they_ended(self, hook: Hook, later: Any) -> None:
        hook.emit("request.state", "request.held")
        hook.send()
        later(timedelta(days=31))
        reconcile(hook.house.store, hook.house.blobs)
        assert [row.type for row in hook.deliveries] == ["request.held"], "one that is pending stays"


class TestFilters:
    def test_one_that_matches_no_event_is_refused_by_its_place(self, hook: Hook) -> None:
        with pytest.raises(InvalidInput) as caught:
            hook.change(event_types=["request.*", "request.stat"])
        assert (caught.value.code, caught.value.field) == ("unknown-event-type", "/event_types/1")

    def test_a_change_leaves_the_rest_as_it_is(self, house: House) -> None:
        hook = Hook(house, event_types=["request.*"], lines=["bot"], description="desk")
        hook.change(url="https://example.org/")
        row = hook.row
        assert (row.url, row.event_types, row.lines) == ("https://example.org/", ["request.*"], ["bot"])
        hook.change(event_types=None, lines=None, description=None)
        row = hook.row
        assert (row.url, row.event_types, row.lines, row.description) == ("https://example.org/", None, None, None)


def test_how_long_the_oldest_message_waits(house: House, hook: Hook, later: Any) -> None:
    def waiting() -> timedelta | None:
        with house.store.read() as unit:
            since = unit.webhooks.waiting_since(unit.now)
            return None if since is None else unit.now - since

    assert waiting() is None
    with house.store.write() as unit:
        unit.emit("request.state")
    later(timedelta(minutes=1))
    assert timedelta(seconds=55) < (waiting() or timedelta()), "told to nobody yet"
    hook.fan_out()
    later(timedelta(minutes=3))
    assert timedelta(seconds=115) < (waiting() or timedelta()), "not sent yet"
    hook.send(BROKEN)
    assert waiting() is None, "its pause is no delay"
