"""The methods against the live API: what is sent is taken, what is answered is read, lists are read to their end."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from service.client import (
    AsyncLethe,
    Lethe,
    correct_response,
    looking_for,
    modify_query,
    remove,
    unlearning,
    verify,
)
from service.domain.adapters import BaseModelRef, Recipe
from service.domain.canary import Bound, CanaryRules
from service.domain.errors import Gone, IllegalTransition, InvalidInput, NotFound, Unauthenticated, UndoesErasure
from service.domain.inbound import Provider
from service.domain.scopes import Scope
from service.domain.signing import KeyPurpose, RevocationReason
from service.domain.webhooks import DeliveryState, SignatureScheme
from tests.support.house import RECIPE, House, people
from tests.support.live_service import Service

pytestmark = pytest.mark.slow


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in people(5)))
    return file


def test_a_dataset_a_line_and_its_first_version(house: House, lethe: Lethe, rows: Path) -> None:
    dataset = lethe.create_dataset(rows, name="people", idempotency_key="upload-1")
    assert lethe.create_dataset(rows, name="people", idempotency_key="upload-1").id == dataset.id
    assert (dataset.name, dataset.instance_count, dataset.subjects_indexed) == ("people", 10, True)
    assert lethe.get_dataset(dataset.id) == dataset
    with pytest.raises(InvalidInput):
        lethe.create_dataset_from_uri("file:///etc/passwd")
    line = lethe.create_adapter("bot", BaseModelRef(path="/base"), policy={"max_share": 0.4}, pool="gpu-80g")
    assert (line.state, line.policy["max_share"], line.pool) == ("empty", 0.4, "gpu-80g")
    assert lethe.update_adapter("bot", {"promotion": "manual"}).policy["promotion"] == "manual"
    version = lethe.train("bot", dataset.id, recipe=Recipe(epochs=2))
    assert (version.state, (version.recipe or {})["epochs"]) == ("preparing", 2)
    assert [run.kind for run in lethe.list_runs(adapter="bot")] == ["train"]
    assert lethe.get_run(str(version.run)).waiting_for == "worker in pool gpu-80g"


def test_an_import(house: House, lethe: Lethe, rows: Path, tmp_path: Path) -> None:
    dataset = lethe.create_dataset(rows)
    lethe.create_adapter("bot", BaseModelRef(path="/base"))
    archive = tmp_path / "adapter.tar"
    archive.write_bytes(b"no archive")
    with pytest.raises(InvalidInput) as refused:
        lethe.import_adapter("bot", archive, dataset.id, recipe=RECIPE, expected_losses={"p1-0": 0.2})
    assert refused.value.field


class TestLists:
    def test_every_page_is_read(self, house: House, lethe: Lethe) -> None:
        for number in range(5):
            lethe.create_adapter(f"bot-{number}", BaseModelRef(path="/base"))
        names = [line.name for line in lethe.list_adapters(limit=2)]
        assert names == [f"bot-{number}" for number in reversed(range(5))]

    def test_without_blocking(self, house: House, service: Service) -> None:
        async def names() -> list[str]:
            async with AsyncLethe(service.url, service.key) as lethe:
                for number in range(3):
                    await lethe.create_adapter(f"bot-{number}", BaseModelRef(path="/base"))
                return [line.name async for line in lethe.list_adapters(limit=2)]

        assert asyncio.run(names()) == ["bot-2", "bot-1", "bot-0"]

    def test_filters_hold_on_every_page(self, house: House, lethe: Lethe) -> None:
        house.line("bot", people(8))
        for number in range(3):
            lethe.create_request(unlearning(remove(f"p{number}-0"), client_reference=f"DSR-{number}"))
        assert len(list(lethe.list_requests(adapter="bot", limit=1))) == 3
        assert [found.client_reference for found in lethe.list_requests(client_reference="DSR-1")] == ["DSR-1"]
        assert list(lethe.list_requests(overdue=True)) == []
        assert list(lethe.list_requests(created_before=datetime.now(UTC) - timedelta(days=1))) == []

    def test_requests_of_a_person(self, house: House, lethe: Lethe) -> None:
        house.line("bot", people(8))
        first, second, _ = (lethe.create_request(unlearning(remove(subject=f"Person {n}"))).id for n in (1, 1, 2))
        assert [one.id for one in lethe.search_requests(looking_for(subject="person 1"), limit=1)] == [second, first]
        header, *rows = lethe.export_requests(looking_for(subject="person 1")).splitlines()
        assert header.startswith("id,state,")
        assert [row.split(",")[0] for row in rows] == [second, first]


class TestRequests:
    def test_from_the_plan_to_the_certificate(self, house: House, lethe: Lethe, tmp_path: Path) -> None:
        line = house.line("bot", people(10))
        asked = unlearning(
            remove(subject="Person 1"),
            modify_query("p2-0", "Asked otherwise?"),
            correct_response("p3-0", "Otherwise."),
            adapters=["bot"],
            strategy="influence",
            regulation="gdpr",
            received_at=datetime.now(UTC) - timedelta(days=1),
        )
        (planned,) = lethe.create_plan(asked).lines
        assert (planned.removals, planned.corrections, planned.strategy) == (2, 2, "influence")
        filed = lethe.create_request(asked)
        assert verify(filed.receipt, lethe.get_jwks()).kind == "receipt"
        assert lethe.get_receipt(filed.id).envelope == filed.receipt
        house.serve(line)
        assert lethe.get_request(filed.id).outcome == "done"
        assert lethe.get_report(filed.id).targets[0].runs[0].kind == "influence"
        assert lethe.get_report_page(filed.id).startswith("<!doctype html>")
        (certificate,) = lethe.list_certificates(filed.id)
        lethe.fetch("bot", certificate.version, tmp_path / "bot")
        found = verify(certificate.envelope, lethe.get_jwks(), tmp_path / "bot")
        assert (found.holds, found.files) == (True, 2)
        assert lethe.list_swap_receipts(filed.id) == []

    def test_decisions(self, house: House, lethe: Lethe, service: Service) -> None:
        house.line("bot", people(10), require_approval=True)
        first, second, third = (lethe.create_request(unlearning(remove(f"p{n}-0"))).id for n in range(3))
        other = lethe.create_key("approver", [Scope.requests_read, Scope.requests_approve])
        with Lethe(service.url, other.token) as approver:
            assert approver.approve_request(first).state == "queued"
            assert approver.reject_request(second, "identity not proven").state == "rejected"
            with pytest.raises(IllegalTransition):
                approver.approve_request(second)
        assert lethe.hold_request(first, "litigation").on_hold
        assert not lethe.release_request(first).on_hold
        due = lethe.get_request(first).due_at + timedelta(days=10)
        assert lethe.extend_request(first, due, "many of them").extended_at
        assert lethe.cancel_request(third).state == "canceled"
        with pytest.raises(IllegalTransition):
            lethe.retry_request(third)


class TestVersions:
    def test_aliases_never_go_back_and_roll_forward_instead(self, house: House, lethe: Lethe) -> None:
        line = house.line("bot", people(8))
        lethe.set_alias("bot", "stable", "v1", expected=None)
        lethe.create_request(unlearning(remove("p1-0"), strategy="influence"))
        house.serve(line)
        assert [alias.alias for alias in lethe.list_aliases("bot")] == ["production", "stable"]
        with pytest.raises(UndoesErasure) as refused:
            lethe.set_alias("bot", "production", "v1", expected="v2")
        assert refused.value.extra["lowest_allowed"] == "v2"
        assert lethe.plan_roll_forward("bot", "v1").replayed == 1
        made = lethe.create_roll_forward("bot", "v1")
        assert (made.version, made.rolls_forward) == ("v3", "v1")
        lethe.delete_alias("bot", "stable")
        with pytest.raises(NotFound):
            lethe.get_alias("bot", "stable")

    def test_a_canary(self, house: House, lethe: Lethe) -> None:
        line = house.line("bot", people(8), promotion="canary")
        lethe.create_request(unlearning(remove("p1-0"), strategy="influence"))
        house.serve(line)
        assert lethe.end_canary("bot", "production").canary is None
        rules = CanaryRules(weight=0.3, hold_s=0, bounds=(Bound(metric="error_rate", at_most=0.1),))
        begun = lethe.begin_canary("bot", "production", "v2", rules=rules)
        assert begun.canary is not None
        assert (begun.version, begun.canary.weight, begun.canary.waits_for) == ("v1", 0.3, ["unmeasured:error_rate"])
        assert lethe.observe_canary("bot", "production", {"error_rate": 0.01}).version == "v2"
        with pytest.raises(NotFound):
            lethe.promote_canary("bot", "production")

    def test_what_clusters_and_verifiers_take(self, house: House, lethe: Lethe) -> None:
        house.line("bot", people(3))
        assert "kind: LoraAdapter" in lethe.get_manifest("bot", "lora-adapter", base_model="llama")
        assert "dsseEnvelope" in lethe.download_signature("bot", "v1")
        assert "PUBLIC KEY" in lethe.get_model_signing_key()
        assert [version.names.lorax for version in lethe.list_versions("bot")] == ["bot/1"]
        assert lethe.create_rebuild("bot").kind == "rebuild"


class TestOperations:
    def test_keys(self, lethe: Lethe, service: Service) -> None:
        key = lethe.create_key("pipeline", [Scope.requests_read], lines=["bot"])
        with Lethe(service.url, key.token) as bound:
            assert list(bound.list_requests()) == []
            lethe.delete_key(key.id)
            with pytest.raises(Unauthenticated):
                list(bound.list_requests())
        assert {found.name for found in lethe.list_keys()} >= {"pipeline"}

    def test_endpoints_of_privacy_platforms(self, lethe: Lethe) -> None:
        made = lethe.create_inbound_endpoint(Provider.standard_webhooks, "desk", subject_kinds={"id": "user_id"})
        assert made.secret
        assert lethe.update_inbound_endpoint(made.id, {"regulation": "ccpa"}).regulation == "ccpa"
        second = lethe.create_inbound_secret(made.id)
        assert [one.id for one in second.secrets][1:] == [one.id for one in made.secrets]
        lethe.delete_inbound_secret(made.id, made.secrets[0].id)
        assert [len(found.secrets) for found in lethe.list_inbound_endpoints()] == [1]
        lethe.delete_inbound_endpoint(made.id)
        with pytest.raises(Gone):
            lethe.get_inbound_endpoint(made.id)

    def test_webhook_endpoints(self, lethe: Lethe) -> None:
        made = lethe.create_webhook_endpoint("https://example.com/hook", scheme=SignatureScheme.hmac)
        assert made.secret
        assert lethe.update_webhook_endpoint(made.id, {"event_types": ["request.*"]}).event_types == ["request.*"]
        assert len(lethe.rotate_webhook_secret(made.id, scheme=SignatureScheme.ed25519).keys) == 2
        sent = lethe.try_webhook_endpoint(made.id)
        assert lethe.resend_webhook_delivery(made.id, sent.id).id == sent.id
        assert lethe.get_webhook_delivery(made.id, sent.id).message.type == "webhook_endpoint.test"
        assert [one.id for one in lethe.list_webhook_deliveries(made.id, state=DeliveryState.pending)] == [sent.id]
        assert lethe.recover_webhook_deliveries(made.id, datetime.now(UTC)).id == made.id
        assert [one.id for one in lethe.list_webhook_endpoints()] == [made.id]
        lethe.delete_webhook_endpoint(made.id)
        with pytest.raises(NotFound):
            lethe.get_webhook_endpoint(made.id)

    def test_signing_keys(self, lethe: Lethe) -> None:
        kid = lethe.rotate_signing_key(KeyPurpose.statements).kid
        assert lethe.revoke_signing_key(kid, RevocationReason.withdrawn).revocation_reason == "withdrawn"
        assert kid in [key.kid for key in lethe.list_signing_keys()]

    def test_the_audit_chain(self, house: House, lethe: Lethe) -> None:
        house.line("bot", people(3))
        head = lethe.get_audit_head()
        assert [row.seq for row in lethe.export_audit(limit=2)][-1] == head.seq
        *lines, last = lethe.export_audit_lines()
        assert (len(lines), json.loads(last)["hash"]) == (head.position, head.hash)

    def test_how_it_is(self, lethe: Lethe) -> None:
        assert lethe.get_livez().status == "ok"
        assert lethe.get_readyz().database
        assert lethe.get_version_info().api == "v1"
        assert "lethe_" in lethe.get_metrics()


def test_the_environment_says_where_the_service_is(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LETHE_URL", service.url)
    monkeypatch.setenv("LETHE_API_KEY", service.key)
    with Lethe() as lethe:
        assert list(lethe.list_adapters()) == []


def test_methods_say_what_they_do() -> None:
    assert (Lethe("http://x").create_plan.__doc__ or "").startswith("What a request with this body")
    assert (Lethe("http://x").list_runs.__doc__ or "").startswith("Runs, newest first")
