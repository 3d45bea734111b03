"""Endpoints of outgoing webhooks: their keys, their filters, and what is sent to them again or forgotten."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.domain.errors import Conflict, InvalidInput, NotFound
from service.domain.webhooks import (
    Attempt,
    SignatureScheme,
)
from service.flows.reconcile import reconcile
from service.flows.redeliver import recover, resend, send_test
from service.flows.webhook_endpoints import (
    delete_endpoint,
    rotate_secret,
)
from service.store.tables import WebhookDelivery, WebhookEndpoint, WebhookSecret
from tests.support.hook import BROKEN, Hook
from tests.support.house import ACTOR, House


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
