"""Replicas follow the alias: each is proven by its answers, and nothing of what went before stays on it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from service.control.pusher import Pusher
from service.domain.canary import CanaryRules
from service.domain.probes import ProbeOutcome
from service.domain.serving import SwapStep
from service.evidence.key_set import read_key_set
from service.evidence.keys import jwks
from service.evidence.verification import verify_envelope, with_files
from service.flows.alias import drop_alias, set_alias
from service.flows.canary import set_canary
from service.flows.facts import replica_facts
from service.flows.push import claim_replica, note_step
from service.flows.serving_targets import forget_target, leave_target
from service.flows.signing_keys import published_keys
from service.flows.withdraw import withdraw_due
from tests.support.house import ACTOR
from tests.support.pushing import events, names, push, receipts, said
from tests.support.serving import Serving
from tests.support.vllm_double import VllmDouble, vllm_double
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow


NOWHERE = "http://127.0.0.1:1"


@pytest.fixture
def vllm(serving: Serving) -> Iterator[VllmDouble]:
    with vllm_double(serving.base, max_loras=4) as double:
        yield double


def test_a_replica_gets_what_the_alias_points_at_and_then_what_it_moves_to(
    serving: Serving, pusher: Pusher, vllm: VllmDouble
) -> None:
    serving.publish()
    target = serving.register(vllm.url)
    push(pusher)
    assert names(vllm) == {"bot@v1": str(serving.path(1)), "bot@production": str(serving.path(1))}
    (replica,) = serving.replicas(target)
    assert (replica.outcome, replica.proven_id, replica.error) == (ProbeOutcome.proven, replica.desired_id, None)
    first = serving.publish()
    push(pusher)
    assert names(vllm) == {"bot@v2": str(serving.path(2)), "bot@production": str(serving.path(2))}
    assert vllm.engine.copies_of(serving.published[0]) == 0
    assert vllm.engine.copies_of(first) == 2
    assert {path.name for path in serving.mount.iterdir()} - {".drafts"} == {
        serving.digest(2),
        f"{serving.digest(2)}.blank",
    }


def test_the_receipt_is_evidence_of_the_request(serving: Serving, pusher: Pusher, vllm: VllmDouble) -> None:
    serving.publish()
    target = serving.register(vllm.url)
    push(pusher)
    made = serving.publish()
    (request,) = serving.publisher.requests
    assert receipts(serving, request) == []
    push(pusher)
    push(pusher)
    (envelope,) = receipts(serving, request)
    with serving.house.store.read() as unit:
        keys = read_key_set(jwks(published_keys(unit)))
    found = with_files(verify_envelope(envelope, keys), made)
    assert found.holds, found.findings
    assert (found.kind, found.files) == ("swap receipt", 2)
    statement = said(envelope)
    (replica,) = serving.replicas(target)
    assert (statement["replica"], statement["target"], statement["server"]) == (replica.id, target, "vllm")
    assert statement["version"]["name"] == "bot@v2"
    assert statement["probe"]["outcome"] == "proven"
    assert statement["probe"]["distances"]["version"] < 1e-6 < statement["probe"]["distances"]["previous"]
    assert statement["removed"] == [{"name": "bot@v1", "overwritten": True}]
    assert [event["version"] for event in events(serving, "replica.swapped")] == [1, 2]


def test_certificates_say_which_replicas_had_swapped(serving: Serving, pusher: Pusher, vllm: VllmDouble) -> None:
    serving.publish()
    serving.register(vllm.url)
    push(pusher)
    serving.publish()
    with serving.house.store.read() as unit:
        (first,) = unit.requests.certificates(serving.publisher.requests[0])
    (replica,) = said(first.envelope)["replicas"]
    assert (replica["version"], replica["covers_request"]) == ("bot@v1", False)
    push(pusher)
    serving.publish()
    with serving.house.store.read() as unit:
        (second,) = unit.requests.certificates(serving.publisher.requests[1])
    (replica,) = said(second.envelope)["replicas"]
    assert (replica["version"], replica["covers_request"]) == ("bot@v2", False)
    with serving.house.store.read() as unit:
        covered = [
            [facts.covers for facts in replica_facts(unit, unit.lines.get(target.line_id), target)]
            for request in serving.publisher.requests
            for target in unit.targets.of_request(request)
        ]
    assert covered == [[True], [False]]


def test_one_replica_that_is_away_holds_up_no_other_and_is_tried_again(
    serving: Serving, pusher: Pusher, vllm: VllmDouble
) -> None:
    serving.publish()
    target = serving.register(NOWHERE, vllm.url)
    push(pusher)
    away, there = serving.replicas(target)
    assert there.proven_id == there.desired_id
    assert away.error is not None
    assert (away.error["code"], away.error["refused"], away.attempts) == ("server-away", [], 1)
    assert away.due_at > away.checked_at
    push(pusher)
    assert serving.replicas(target)[0].attempts == 1, "it waits first"
    assert [event["code"] for event in events(serving, "replica.failed")] == ["server-away"]


def test_a_refused_version_stays_refused_and_visible_until_another_one_is_wanted(
    serving: Serving, pusher: Pusher, vllm: VllmDouble
) -> None:
    serving.publish()
    target = serving.register(vllm.url)
    push(pusher)
    serving.publish(r=32)
    for _ in range(3):
        push(pusher)
    (replica,) = serving.replicas(target)
    assert replica.error is not None
    assert (replica.error["code"], replica.error["refused"]) == ("adapter-refused", [replica.desired_id])
    assert "rank" in replica.error["detail"]
    assert [path for _, path, body in vllm.requests if body.get("lora_name") == "bot@v2"] == ["/v1/load_lora_adapter"]
    assert "bot@v1" in names(vllm), "what it may still serve, it serves"
    serving.publish()
    push(pusher)
    (replica,) = serving.replicas(target)
    assert (replica.error, replica.attempts) == (None, 0)
    assert names(vllm).keys() == {"bot@v3", "bot@production"}


def test_a_version_that_cannot_be_proven_is_not_served(serving: Serving, pusher: Pusher, vllm: VllmDouble) -> None:
    first = serving.publish()
    target = serving.register(vllm.url)
    push(pusher)
    other = serving.publish(probe_from=first)
    push(pusher)
    (replica,) = serving.replicas(target)
    assert replica.error is not None
    assert replica.error["code"] == "not-proven"
    assert names(vllm).keys() == {"bot@v1", "bot@production"}
    assert vllm.engine.copies_of(other) == 0
    assert events(serving, "replica.swapped")[-1]["version"] == 1


def test_what_was_withdrawn_goes_though_the_new_version_was_refused(
    serving: Serving, pusher: Pusher, vllm: VllmDouble
) -> None:
    serving.publish()
    target = serving.register(vllm.url)
    push(pusher)
    serving.publish(r=32)
    push(pusher)
    with serving.house.store.write() as unit:
        (replica,) = serving.replicas(target)
        unit.versions.get(str(replica.proven_id)).withdraw_at = unit.now
        assert withdraw_due(unit) == 1
    push(pusher)
    assert names(vllm) == {}
    assert vllm.engine.copies_of(serving.published[0]) == 0
    assert not serving.path(1).exists()


def test_a_server_that_lost_its_adapters_gets_them_again(serving: Serving, pusher: Pusher, vllm: VllmDouble) -> None:
    serving.publish()
    serving.register(vllm.url)
    push(pusher)
    vllm.registered.clear()
    push(pusher)
    assert names(vllm).keys() == {"bot@v1", "bot@production"}
    assert len(events(serving, "replica.swapped")) == 1, "one receipt a replica and version"


def test_as_long_as_all_is_well_the_server_is_only_asked_for_its_list(
    serving: Serving, pusher: Pusher, vllm: VllmDouble
) -> None:
    serving.publish()
    serving.register(vllm.url)
    push(pusher)
    vllm.requests.clear()
    push(pusher)
    assert vllm.requests == []


def test_without_the_alias_nothing_is_served(serving: Serving, pusher: Pusher, vllm: VllmDouble) -> None:
    serving.publish()
    target = serving.register(vllm.url)
    push(pusher)
    with serving.house.store.write() as unit:
        drop_alias(unit, "bot", "production", actor=ACTOR)
    push(pusher)
    assert names(vllm) == {}
    (replica,) = serving.replicas(target)
    assert (replica.desired_id, replica.proven_id, replica.held) == (None, None, [])
    assert not serving.path(1).exists()


def test_the_canary_is_served_beside_and_its_fault_does_not_undo_the_other(
    serving: Serving, pusher: Pusher, vllm: VllmDouble
) -> None:
    serving.publish()
    target = serving.register(vllm.url)
    serving.publish()
    serving.publish(r=32)
    with serving.house.store.write() as unit:
        line = unit.lines.by_name("bot")
        assert line is not None
        for version in unit.versions.of_line(line.id):
            version.ledger_seq = line.ledger_head
        set_alias(unit, "bot", "production", version="v1", expected="v3", actor=ACTOR)
        set_canary(unit, "bot", "production", version="v2", rules=CanaryRules(), actor=ACTOR)
    push(pusher)
    assert names(vllm).keys() == {"bot@v1", "bot@v2", "bot@production"}
    assert names(vllm)["bot@production"] == str(serving.path(1))
    with serving.house.store.write() as unit:
        set_canary(unit, "bot", "production", version="v3", rules=CanaryRules(), actor=ACTOR)
    push(pusher)
    push(pusher)
    (replica,) = serving.replicas(target)
    assert replica.error is not None
    assert replica.error["code"] == "adapter-refused"
    assert replica.proven_id == replica.desired_id
    assert names(vllm).keys() == {"bot@v1", "bot@production"}


def test_a_target_that_is_let_go_of_is_emptied_first(serving: Serving, pusher: Pusher, vllm: VllmDouble) -> None:
    serving.publish()
    target = serving.register(vllm.url)
    push(pusher)
    with serving.house.store.write() as unit:
        leave_target(unit, target, actor=ACTOR)
    push(pusher)
    assert names(vllm) == {}
    assert vllm.engine.copies_of(serving.published[0]) == 0
    with serving.house.store.read() as unit:
        assert unit.serving.target(target) is None
    assert len(events(serving, "serving_target.removed")) == 1
    push(pusher)


def test_files_stay_as_long_as_one_replica_may_read_them(serving: Serving, pusher: Pusher, vllm: VllmDouble) -> None:
    serving.publish()
    with vllm_double(serving.base, max_loras=4) as other:
        target = serving.register(vllm.url, other.url)
        push(pusher)
        gone = other.url
    serving.publish()
    push(pusher)
    behind = next(replica for replica in serving.replicas(target) if replica.url == gone)
    assert behind.error is not None
    assert serving.path(1).exists(), "the replica that is away may have it still"
    assert names(vllm).keys() == {"bot@v2", "bot@production"}


def test_two_pushers_do_not_take_the_same_replica(serving: Serving, vllm: VllmDouble) -> None:
    serving.publish()
    target = serving.register(vllm.url)
    (replica,) = serving.replicas(target)
    vault = serving.house.vault
    with serving.house.store.write() as unit:
        job = claim_replica(unit, vault, replica.id, lease_s=60)
    assert job is not None
    with serving.house.store.write() as unit:
        assert claim_replica(unit, vault, replica.id, lease_s=60) is None
        note_step(unit, job, SwapStep.load, "bot@v1", lease_s=0)
    other = serving.pusher()
    push(other)
    other.close()
    assert names(vllm).keys() == {"bot@v1", "bot@production"}


def test_a_pusher_that_is_told_to_end_leaves_off_between_two_steps(serving: Serving) -> None:
    with vllm_double(serving.base, max_loras=4, token_s=0.05) as double:
        first, second = serving.pusher(patience_s=60), serving.pusher()
        serving.publish()
        target = serving.register(double.url)
        push(first)
        body = {"model": "bot@v1", "prompt": [1], "max_tokens": 100, "logprobs": 1}
        with ThreadPoolExecutor() as client:
            client.submit(httpx.post, f"{double.url}/v1/completions", json=body, timeout=30)
            wait_until(lambda: double.is_running("bot@v1"))
            serving.publish()
            first.push_due()
            wait_until(lambda: serving.replicas(target)[0].step is SwapStep.drain)
            first.close()
            (replica,) = serving.replicas(target)
            assert (replica.step, replica.lease_until) == (SwapStep.drain, None)
            assert "bot@v1" in names(double)
            push(second)
        second.close()
        assert names(double).keys() == {"bot@v2", "bot@production"}
        assert double.engine.copies_of(serving.published[0]) == 0


def test_keys_are_sent_and_a_wrong_one_is_told(serving: Serving, pusher: Pusher) -> None:
    serving.publish()
    with vllm_double(serving.base, max_loras=4, api_key="right") as double:
        wrong = serving.register(double.url, api_key="wrong")
        push(pusher)
        (replica,) = serving.replicas(wrong)
        assert replica.error is not None
        assert (replica.error["code"], replica.error["detail"]) == ("server-refused", "/v1/models: status 401")
        with serving.house.store.write() as unit:
            forget_target(unit, wrong, actor=ACTOR)
        right = serving.register(double.url, name="other", api_key="right")
        wait_until(lambda: _is_current(serving, pusher, right))


def _is_current(serving: Serving, pusher: Pusher, target: str) -> bool:
    push(pusher)
    (replica,) = serving.replicas(target)
    return replica.proven_id is not None and replica.proven_id == replica.desired_id
