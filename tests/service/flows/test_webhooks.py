"""Outgoing webhooks: who is told of what, when it is tried again, and when an endpoint is given up."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from service.domain.webhooks import (
    PAUSES_S,
    Attempt,
    DeliveryState,
    DisabledReason,
)
from service.flows.deliver import LEASE
from service.flows.fan_out import BATCH, fan_out
from tests.support.hook import BROKEN, DONE, SILENT, Hook
from tests.support.house import House, people, remove


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
