"""What the commands do and say, and their exit codes: 0 done, 1 needs attention or failed, 2 refused."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from service.client import Lethe as Client
from service.domain.runs import Lane
from tests.service.cli.conftest import Command
from tests.support.house import RECIPE, House, people, remove
from tests.support.live_service import Service

pytestmark = pytest.mark.slow

Lethe = Callable[..., Command]
Worker = Callable[..., AbstractContextManager[None]]


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in people(10)))
    return file


class TestForget:
    def test_a_subject_on_a_named_line(self, house: House, lethe: Lethe, worker: Worker) -> None:
        with worker([house.line("support-bot", people(10))]):
            done = lethe("forget", "support-bot", "--subject", "person 3", "--json")
        assert done.code == 0
        target = done.json["targets"][0]
        assert (done.json["state"], target["adapter"], target["version"]) == ("succeeded", "support-bot", "v2")

    def test_without_a_line_it_fans_out(self, house: House, lethe: Lethe, worker: Worker) -> None:
        lines = [house.line("one", people(10)), house.line("two", people(12)), house.line("three", people(3))]
        with worker(lines):
            done = lethe("forget", "--subject", "Person 9", "--json")
        assert sorted(target["adapter"] for target in done.json["targets"]) == ["one", "two"]

    def test_instances_by_option_and_by_file_make_one_operation(
        self, house: House, lethe: Lethe, worker: Worker, tmp_path: Path
    ) -> None:
        ids = tmp_path / "ids.txt"
        ids.write_text("p1-0\n\n  p2-1  \n")
        line = house.line("support-bot", people(10))
        done = lethe("forget", "--instance", "p0-0", "--file", ids, "--no-wait", "--json")
        assert done.code == 0
        house.serve(line)
        assert lethe("status", done.json["id"], "--json").json["state"] == "succeeded"
        again = lethe("forget", "--instance", "p2-1", "--json")
        assert (again.code, again.json["code"]) == (2, "instance-already-removed")

    def test_a_kind_tells_equal_identifiers_apart(self, house: House, lethe: Lethe) -> None:
        subjects = [{"kind": "user_id", "value": "17"}, {"kind": "customer_id", "value": "17"}]
        house.line("bot", [*people(8), *({"id": str(n), "subject": one, "prompt": "?", "completion": f"{n}"}
                                         for n, one in enumerate(subjects))])  # fmt: skip
        found = {
            kind: lethe("forget", "--subject", "17", *kind, "--plan", "--json").json["lines"][0]["removals"]
            for kind in ((), ("--kind", "user_id"))
        }
        assert found == {(): 2, ("--kind", "user_id"): 1}

    def test_a_plan_changes_nothing(self, house: House, lethe: Lethe) -> None:
        line = house.line("support-bot", people(10))
        planned = lethe("forget", "--subject", "Person 3", "--plan", "--json").json["lines"]
        assert [(one["adapter"], one["removals"], one["strategy"]) for one in planned] == [
            ("support-bot", 2, "influence")
        ]
        assert house.queued_run(line) is None
        assert lethe("status", "--json").json == []

    def test_what_needs_attention_ends_with_1(self, house: House, lethe: Lethe, worker: Worker) -> None:
        line = house.line("support-bot", people(10), recipe=None, complete_at="M")
        with worker([line], passed=None):
            done = lethe("forget", "--subject", "Person 3", "--json")
        assert (done.code, done.json["state"]) == (1, "needs_attention")

    def test_naming_nothing_is_refused_before_anything_is_sent(self, lethe: Lethe) -> None:
        refused = lethe("forget", "support-bot")
        assert refused.code == 2
        assert "--subject" in refused.err


class TestAccept:
    def test_a_failure_stands_for_the_reason_given(
        self, house: House, client: Client, lethe: Lethe, worker: Worker
    ) -> None:
        line = house.line("support-bot", people(10), recipe=None)
        request = house.submit(remove("p1-0"))
        house.serve(line, passed=False)
        with worker([line], passed=False):
            done = lethe("accept", request, "--reason", "three greetings", "--json")
        assert (done.code, done.json["state"]) == (0, "succeeded")
        assert client.get_report(request).targets[0].claim_level == "I"

    def test_without_a_reason_or_a_shortfall_it_is_refused(self, house: House, lethe: Lethe) -> None:
        house.line("support-bot", people(10))
        request = house.submit(remove("p1-0"))
        assert lethe("accept", request).code == 2
        refused = lethe("accept", request, "--reason", "three greetings", "--json")
        assert (refused.code, refused.json["code"]) == (2, "illegal-transition")


class TestCorrect:
    def test_prompt_and_completion_at_once(self, house: House, lethe: Lethe, worker: Worker) -> None:
        with worker([house.line("support-bot", people(10))]):
            done = lethe("correct", "support-bot", "p1-0", "--prompt", "New?", "--completion", "Newer.", "--json")
        assert (done.code, done.json["state"]) == (0, "succeeded")

    def test_the_present_text_is_no_correction(self, house: House, lethe: Lethe) -> None:
        house.line("support-bot", people(10))
        refused = lethe("correct", "support-bot", "p1-0", "--completion", "Answer 1-0.")
        assert refused.code == 2
        for part in ("The input cannot be accepted", "/operations/0/completion", "Leave it out"):
            assert part in refused.err


class TestSubmit:
    def test_a_mixture_from_a_file(self, house: House, lethe: Lethe, worker: Worker, tmp_path: Path) -> None:
        body = tmp_path / "request.json"
        operations = [
            {"type": "remove", "select": {"subject": "Person 2"}},
            {"type": "modify_query", "instance_id": "p3-0", "prompt": "Asked otherwise?"},
            {"type": "correct_response", "instance_id": "p4-0", "completion": "Otherwise."},
        ]
        body.write_text(json.dumps({"operations": operations, "client_reference": "DSR-1"}))
        with worker([house.line("support-bot", people(10))]):
            done = lethe("submit", body, "--json")
        assert (done.code, done.json["client_reference"]) == (0, "DSR-1")

    def test_broken_json_is_refused(self, lethe: Lethe, tmp_path: Path) -> None:
        body = tmp_path / "request.json"
        body.write_text("{")
        assert lethe("submit", body).code == 2

    def test_what_is_no_object_is_refused_by_the_service(self, lethe: Lethe, tmp_path: Path) -> None:
        body = tmp_path / "request.json"
        body.write_text("[1]")
        assert lethe("submit", body, "--json").json["code"] == "invalid-input"


class TestTrain:
    def test_makes_the_line_uploads_and_starts(self, house: House, lethe: Lethe, rows: Path, tmp_path: Path) -> None:
        recipe = tmp_path / "recipe.json"
        recipe.write_text(RECIPE.model_dump_json())
        held = tmp_path / "held.jsonl"
        held.write_text("".join(json.dumps({**row, "id": f"held-{row['id']}"}) + "\n" for row in people(1)))
        asked = lethe(
            "train", "support-bot", "--base", tmp_path, "--dataset", rows, "--holdout", held,
            "--recipe", recipe, "--epochs", "7", "--rank", "4", "--no-wait", "--json",
        )  # fmt: skip
        assert asked.code == 0
        assert (asked.json["version"], asked.json["state"]) == ("v1", "preparing")
        with house.store.read() as unit:
            line = unit.lines.by_name("support-bot")
            assert line is not None
            version = unit.versions.of_line(line.id)[0]
        assert line.base_path == str(tmp_path)
        assert version.recipe is not None
        assert (version.recipe["epochs"], version.recipe["batch_size"]) == (7, RECIPE.batch_size)
        assert (version.recipe["lora"]["r"], version.recipe["lora"]["alpha"]) == (4, 8)
        assert [item["instance_count"] for item in lethe("datasets", "--json").json] == [2, 20]

    def test_another_base_model_is_another_line(self, house: House, lethe: Lethe, rows: Path, tmp_path: Path) -> None:
        house.line("support-bot", people(3))
        refused = lethe("train", "support-bot", "--base", tmp_path, "--dataset", rows)
        assert refused.code == 2
        assert "another base model" in refused.err


class TestPolicy:
    def test_it_is_shown_and_settings_change(self, house: House, lethe: Lethe) -> None:
        house.line("support-bot", people(3))
        assert lethe("policy", "support-bot", "--json").json["policy"]["out_of_fold"] is False
        changed = lethe("policy", "support-bot", "out_of_fold=true", "promotion=manual", "max_share=0.2", "--json")
        policy = changed.json["policy"]
        assert (policy["out_of_fold"], policy["promotion"], policy["max_share"]) == (True, "manual", 0.2)
        assert "out_of_fold" in lethe("policy", "support-bot").out

    def test_windows_are_set_and_what_waits_says_so(self, house: House, lethe: Lethe) -> None:
        house.line("support-bot", people(10))
        night = '[{"from": "20:00", "to": "06:00", "zone": "Europe/Berlin"}]'
        changed = lethe("policy", "support-bot", "coalesce_s=600", f"quiet_hours={night}", "--json").json["policy"]
        assert (changed["coalesce_s"], changed["quiet_hours"][0]["zone"]) == (600, "Europe/Berlin")
        assert lethe("policy", "support-bot", "quiet_hours=[]").code == 0
        assert "waiting for window until" in lethe("forget", "--subject", "Person 3", "--plan").out.replace("\n", " ")
        assert "support-bot: waiting for window until" in lethe("forget", "--subject", "Person 3", "--no-wait").err
        urgent = lethe(
            "correct", "support-bot", "p4-0", "--completion", "Else.", "--urgent", "--no-wait", "--json"
        ).json
        assert (urgent["urgent"], urgent["targets"][0]["waiting_for"]) == (True, None)

    def test_why_a_ledger_is_compacted(self, house: House, lethe: Lethe) -> None:
        line = house.line("support-bot", people(10), rebuild_after_count=1)
        lethe("forget", "--subject", "Person 3", "--no-wait")
        house.serve(line)
        assert "count" in lethe("policy", "support-bot").out.splitlines()[-1]

    def test_a_setting_is_unset(self, house: House, lethe: Lethe) -> None:
        house.line("support-bot", people(3), max_fidelity=1.5)
        assert "1.5" in lethe("policy", "support-bot").out
        assert lethe("policy", "support-bot", "max_fidelity=null", "--json").json["policy"]["max_fidelity"] is None
        assert "null" in lethe("policy", "support-bot").out

    @pytest.mark.parametrize("change", ["out_of_fold", "colour=red", "max_share=2"])
    def test_what_is_no_setting_is_refused(self, house: House, lethe: Lethe, change: str) -> None:
        house.line("support-bot", people(3))
        assert lethe("policy", "support-bot", change).code == 2


class TestVersions:
    def test_lists_lines_versions_and_one_version(self, house: House, lethe: Lethe) -> None:
        line = house.line("support-bot", people(10))
        lethe("forget", "--subject", "Person 3", "--no-wait")
        house.serve(line)
        assert [(one["name"], one["head"], one["anchor"]) for one in lethe("versions", "--json").json] == [
            ("support-bot", "v2", "v1")
        ]
        assert [one["version"] for one in lethe("versions", "support-bot", "--json").json] == ["v2", "v1"]
        assert lethe("versions", "support-bot@production", "--json").json["version"] == "v2"
        assert "support-bot@v2" in lethe("versions", "support-bot").out

    def test_an_alias_moves_forward_but_never_behind_an_erasure(self, house: House, lethe: Lethe) -> None:
        line = house.line("support-bot", people(10))
        assert lethe("alias", "support-bot", "canary", "v1").code == 0
        lethe("forget", "--subject", "Person 3", "--no-wait")
        house.serve(line)
        assert lethe("alias", "support-bot", "canary", "v2", "--json").json["version"] == "v2"
        refused = lethe("alias", "support-bot", "canary", "v1", "--json")
        assert (refused.code, refused.json["code"], refused.json["lowest_allowed"]) == (2, "undoes-erasure", "v2")
        raced = lethe("alias", "support-bot", "canary", "v2", "--expected", "v1", "--json")
        assert (raced.code, raced.json["code"]) == (2, "alias-moved")

    def test_a_rebuild_is_queued(self, house: House, lethe: Lethe) -> None:
        line = house.line("support-bot", people(10))
        run = lethe("rebuild", "support-bot", "--no-wait", "--json")
        assert (run.code, run.json["kind"]) == (0, "rebuild")
        assert house.queued_run(line, Lane.compact) == run.json["id"]
        shown = lethe("status", run.json["id"])
        assert shown.code == 0
        assert "waiting for worker in pool default" in shown.out


class TestRetire:
    def test_it_asks_first(self, house: House, lethe: Lethe) -> None:
        house.line("support-bot", people(10))
        refused = lethe("retire", "support-bot", "--reason", "discontinued")
        assert refused.code == 2
        for part in ("for good?", "Nothing was retired", "--yes"):
            assert part in refused.err
        assert lethe("versions", "--json").json[0]["state"] == "ready"

    def test_once_it_is_told_to(self, house: House, lethe: Lethe) -> None:
        house.line("support-bot", people(10))
        done = lethe("retire", "support-bot", "--reason", "discontinued", "--yes", "--json")
        assert (done.code, done.json["state"], done.json["aliases"]) == (0, "retired", {})
        again = lethe("retire", "support-bot", "--reason", "discontinued", "--yes", "--json")
        assert (again.code, again.json["code"]) == (2, "line-retired")


def test_without_a_service_the_way_out_is_named(lethe: Lethe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.client.sending.FIRST_PAUSE_S", 0.001)
    refused = lethe("status", "--url", "http://127.0.0.1:9")
    assert refused.code == 2
    assert "lethe up" in refused.err


def test_a_wrong_key_is_a_refusal(lethe: Lethe, service: Service) -> None:
    refused = lethe("status", "--key", service.key + "x", "--json")
    assert (refused.code, refused.json["status"]) == (2, 401)
