"""Status callbacks: who is told what of a request, when again, and when no more."""

import json
from datetime import UTC, timedelta
from typing import Any

import pytest

from service.domain.callbacks import CallbackProtocol
from service.domain.decisions import MEANINGS, RejectionCode
from service.domain.webhooks import PAUSES_S, Attempt, AttemptError, DeliveryState
from service.flows.callbacks import ClaimedCallback, claim_callback, register, settle_callback
from service.flows.decide import Extension, cancel, extend, hold, reject, release
from service.flows.deliver import LEASE
from service.flows.reconcile import reconcile
from service.store.tables import StatusCallback
from service.webhooks.outbound.callback import status_body
from tests.support.house import ACTOR, House, people, remove_subject

HOST = "agent.example.com"
URL = f"https://{HOST}/status"
DONE = Attempt(200, None, 0.05)
BROKEN = Attempt(None, AttemptError.timeout, 15.0)
GONE = Attempt(410, None, 0.05)


class Caller:
    """A request with a callback, and the sender that the test plays."""

    def __init__(
        self, house: House, protocol: CallbackProtocol = CallbackProtocol.drp, *, knows: bool = True, **policy: object
    ) -> None:
        self.house = house
        self.line = house.line("bot", people(4), **policy)
        self.request = house.submit(remove_subject("Person 1"))
        with house.store.write() as unit:
            request = unit.requests.get(self.request)
            assert request is not None
            told = status_body(unit, protocol, request) if knows else None
            register(unit, request, protocol, [URL], told=told)

    def claim(self) -> ClaimedCallback | None:
        with self.house.store.write() as unit:
            return claim_callback(unit, HOST, list(CallbackProtocol), status_body)

    def settle(self, claimed: ClaimedCallback, attempt: Attempt = DONE) -> None:
        with self.house.store.write() as unit:
            settle_callback(unit, claimed, attempt, chance=0)

    def send(self, attempt: Attempt = DONE) -> dict[str, Any] | None:
        """Send what is due, with this result; the status that was told, if there was news."""
        claimed = self.claim()
        if claimed is None or not claimed.is_news:
            return None
        self.settle(claimed, attempt)
        told: dict[str, Any] = json.loads(claimed.body)
        return told

    def decide(self, verb: Any, **how: Any) -> None:
        with self.house.store.write() as unit:
            verb(unit, self.request, actor=ACTOR, **how)

    @property
    def row(self) -> StatusCallback:
        with self.house.store.read() as unit:
            (row,) = unit.callbacks.of_request(self.request)
            return row


@pytest.fixture
def caller(house: House) -> Caller:
    return Caller(house)


def test_each_change_is_told_once(caller: Caller) -> None:
    assert caller.send() is None, "the answer said as much"
    assert caller.row.state is DeliveryState.delivered
    claimed = caller.house.claim_queued(caller.line)
    told = caller.send()
    assert told is not None
    assert (told["status"], told["request_id"]) == ("in_progress", caller.request)
    assert caller.send() is None
    caller.house.answer(claimed)
    told = caller.send()
    assert told is not None
    assert told["status"] == "fulfilled"
    assert caller.send() is None
    assert caller.row.state is DeliveryState.delivered


def test_who_was_told_nothing_is_told_the_state_of_things(house: House) -> None:
    told = Caller(house, CallbackProtocol.opendsr, knows=False).send()
    assert told is not None
    assert (told["request_status"], told["results_count"]) == ("pending", 2)


def test_what_changes_nothing_in_the_protocols_words_is_not_told(house: House) -> None:
    """Whether a request waits or is on hold, OpenDSR calls it pending."""
    caller = Caller(house, CallbackProtocol.opendsr)
    caller.decide(hold, reason="law")
    assert caller.send() is None
    caller.decide(cancel)
    told = caller.send()
    assert told is not None
    assert told["request_status"] == "cancelled"


def test_a_hold_and_another_due_date_are_told_to_agents(caller: Caller) -> None:
    caller.decide(hold, reason="law")
    told = caller.send()
    assert told is not None
    assert told["processing_details"] == "It is on hold."
    caller.decide(release)
    told = caller.send()
    assert told is not None
    assert "processing_details" not in told
    with caller.house.store.write() as unit:
        request = unit.requests.get(caller.request)
        assert request is not None
        later = Extension(request.due_at + timedelta(days=1), "there are many.", UTC)
        extend(unit, caller.request, later, actor=ACTOR)
    told = caller.send()
    assert told is not None
    assert told["processing_details"] == "It takes longer: there are many."


def test_a_denial_has_a_reason(house: House) -> None:
    caller = Caller(house, require_approval=True)
    with house.store.write() as unit:
        code = RejectionCode.suspected_fraud
        reject(unit, house.vault, caller.request, actor=ACTOR, reason_code=code, reason="It smells.")
    told = caller.send()
    assert told is not None
    assert (told["status"], told["reason"]) == ("denied", "suspected_fraud")
    assert told["processing_details"] == MEANINGS[code]
    assert "It smells" not in str(told)


def test_what_was_missed_is_not_told_later(caller: Caller, later: Any) -> None:
    claimed = caller.house.claim_queued(caller.line)
    assert caller.send(BROKEN) is not None
    caller.house.answer(claimed)
    told = caller.send()
    assert told is not None
    assert told["status"] == "fulfilled"
    later(timedelta(days=1))
    assert caller.send() is None


def test_a_failed_one_is_repeated_after_growing_pauses_until_it_is_given_up(caller: Caller, later: Any) -> None:
    caller.decide(hold, reason="law")
    passed = timedelta()
    for pause in (*PAUSES_S, None):
        assert caller.send(BROKEN) is not None
        if pause is not None:
            later(passed + timedelta(seconds=pause - 1))
            assert caller.claim() is None
            passed += timedelta(seconds=pause + 1)
            later(passed)
    row = caller.row
    assert (row.state, row.next_attempt_at, len(row.attempts)) == (DeliveryState.failed, None, len(PAUSES_S) + 1)
    assert row.attempts[0]["error"] == "timeout"
    caller.decide(release)
    assert caller.send() is None, "it knows that already: it was told before the hold"
    caller.decide(cancel)
    told = caller.send()
    assert told is not None, "the next change is worth another try"
    assert told["status"] == "revoked"


def test_what_happens_while_it_is_being_sent_is_told_next(caller: Caller) -> None:
    caller.decide(hold, reason="law")
    claimed = caller.claim()
    assert claimed is not None
    caller.decide(cancel)
    assert caller.claim() is None, "one sender at a time, so that the news come in order"
    caller.settle(claimed)
    told = caller.send()
    assert told is not None
    assert told["status"] == "revoked"


def test_a_sender_that_dies_leaves_it_to_the_next_and_one_that_wakes_up_is_not_believed(
    caller: Caller, later: Any
) -> None:
    caller.decide(hold, reason="law")
    dead = caller.claim()
    assert dead is not None
    assert caller.claim() is None
    later(LEASE + timedelta(seconds=1))
    alive = caller.claim()
    assert alive is not None
    assert alive.fence == dead.fence + 1
    caller.settle(dead, BROKEN)
    assert caller.row.attempts == []
    caller.settle(alive)
    assert caller.row.state is DeliveryState.delivered


def test_410_is_the_end(caller: Caller) -> None:
    caller.decide(hold, reason="law")
    assert caller.send(GONE) is not None
    assert caller.row.state is DeliveryState.canceled
    caller.decide(cancel)
    assert caller.send() is None
    assert caller.row.state is DeliveryState.canceled


def test_a_protocol_that_cannot_be_sent_now_waits(house: House) -> None:
    caller = Caller(house, CallbackProtocol.opendsr, knows=False)
    with house.store.write() as unit:
        assert claim_callback(unit, HOST, [CallbackProtocol.drp], status_body) is None
        assert unit.callbacks.due_hosts([CallbackProtocol.drp], unit.now) == []
        assert unit.callbacks.due_hosts([CallbackProtocol.opendsr], unit.now) == [HOST]
    assert caller.send() is not None


def test_other_requests_wake_nobody(caller: Caller) -> None:
    assert caller.send() is None
    caller.house.submit(remove_subject("Person 2"))
    assert caller.row.next_attempt_at is None


def test_they_go_thirty_days_after_the_request_ended(caller: Caller, later: Any) -> None:
    later(timedelta(days=31))
    reconcile(caller.house.store, caller.house.blobs)
    assert caller.row
    caller.decide(cancel)
    later(timedelta(days=62))
    reconcile(caller.house.store, caller.house.blobs)
    with caller.house.store.read() as unit:
        assert unit.callbacks.of_request(caller.request) == []
