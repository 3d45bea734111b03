"""Serving targets over HTTP: registered, shown without secrets, let go of; and what does not fit them is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from service.control.pusher import Pusher
from service.domain.scopes import Scope
from service.flows.fit import CODE
from service.flows.publish import publish_first_anchor
from service.flows.serving_targets import api_key_of
from service.store.tables import Replica
from tests.support.api import Api, assert_problem
from tests.support.house import RECIPE, people
from tests.support.serving import Serving
from tests.support.uploads import archive, files
from tests.support.vllm_double import vllm_double

URL = "/v1/serving-targets"


def order(api: Api, **changes: Any) -> dict[str, Any]:
    body = {"name": "chat", "kind": "vllm", "urls": ["http://vllm-0:8000", "http://vllm-1:8000/"], "lines": ["bot"]}
    return {**body, **changes}


def test_it_is_registered_and_shown_with_a_replica_a_server_and_line(api_on_both: Api) -> None:
    api = api_on_both
    api.line("bot", people(4))
    api.line("other", people(4))
    response = api.client.post(URL, json=order(api, lines=["bot", "other"], api_key="secret-of-servers"))
    assert response.status_code == 201, response.text
    target = response.json()
    assert response.headers["Location"] == f"{URL}/{target['id']}"
    assert target["mount"] == str(api.settings.serving_dir)
    assert (target["alias"], target["precision"], target["state"]) == ("production", "bfloat16", "active")
    assert {(replica["url"], replica["adapter"]) for replica in target["replicas"]} == {
        (url, line) for url in ("http://vllm-0:8000", "http://vllm-1:8000") for line in ("bot", "other")
    }
    assert {(replica["state"], replica["desired"]) for replica in target["replicas"]} == {("behind", "v1")}
    assert api.client.get(f"{URL}/{target['id']}").json() == target
    assert api.client.get(URL).json()["items"] == [target]
    assert target["has_api_key"] is True
    assert "secret-of-servers" not in json.dumps([target, api.client.get("/v1/events").json()])
    with api.store.read() as unit:
        row = unit.serving.target(target["id"])
        assert row is not None
        assert b"secret-of-servers" not in (row.ciphertext or b"")
        assert api_key_of(api.vault, row) == "secret-of-servers"


def test_the_same_call_twice_registers_once(api: Api) -> None:
    api.line("bot", people(4))
    headers = {"Idempotency-Key": "one"}
    first, second = (api.client.post(URL, json=order(api), headers=headers) for _ in range(2))
    assert first.json() == second.json()
    assert api.count(Replica) == 2


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"urls": ["http://user:secret@vllm-0"]}, "/urls/0"),
        ({"urls": ["http://169.254.169.254"]}, "/urls/0"),
        ({"urls": []}, "/urls"),
        ({"urls": ["http://vllm-0", "http://vllm-0/"]}, ""),
        ({"kind": "tgi"}, "/kind"),
        ({"mount": "adapters"}, "/mount"),
        ({"precision": "int8"}, "/precision"),
        ({"limits": {"max_lora_rank": 0}}, "/limits/max_lora_rank"),
        ({"api_key": ""}, "/api_key"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_not_repeated(api: Api, changes: dict[str, Any], field: str) -> None:
    api.line("bot", people(4))
    response = api.client.post(URL, json=order(api, **changes))
    problem = assert_problem(response, 422, "invalid-input")
    assert str(problem["field"]).rstrip("/") == field
    assert "secret" not in response.text


def test_adapters_are_read_from_allowed_directories_only(api: Api) -> None:
    api.line("bot", people(4))
    response = api.client.post(URL, json=order(api, mount="/etc"))
    assert_problem(response, 422, "mount-not-allowed", field="/mount")
    below = str(api.settings.serving_dir / "eu")
    assert api.client.post(URL, json=order(api, mount=below)).json()["mount"] == below


def test_an_unknown_line_a_taken_name_and_a_taken_url(api: Api) -> None:
    api.line("bot", people(4))
    assert_problem(
        api.client.post(URL, json=order(api, lines=["bot", "nobody"])), 404, "unknown-adapter", field="/lines/1"
    )
    api.client.post(URL, json=order(api))
    assert_problem(api.client.post(URL, json=order(api, urls=["http://else"])), 409, "name-taken", field="/name")
    taken = order(api, name="other", urls=["http://else", "http://vllm-1:8000"])
    assert_problem(api.client.post(URL, json=taken), 409, "url-taken", field="/urls/1")


def test_it_is_emptied_before_it_is_gone_or_forgotten_at_once(api: Api) -> None:
    api.line("bot", people(4))
    path = f"{URL}/{api.client.post(URL, json=order(api)).json()['id']}"
    for _ in range(2):
        assert api.client.delete(path).status_code == 202
        assert api.client.get(path).json()["state"] == "leaving"
    assert api.client.delete(path, params={"forget": True}).status_code == 204
    assert_problem(api.client.get(path), 404, "unknown-serving-target")
    assert_problem(api.client.delete(path), 404, "unknown-serving-target")
    assert api.count(Replica) == 0
    actions = [row["action"] for row in api.client.get("/v1/audit").json()["items"]]
    assert actions[-3:] == ["serving_target.added", "serving_target.leaving", "serving_target.removed"]


def test_only_for_keys_that_are_bound_to_no_line(api: Api) -> None:
    api.line("bot", people(4))
    bound = api.client_with(Scope.adapters_write, Scope.adapters_read, lines=["bot"])
    assert_problem(bound.post(URL, json=order(api)), 403, "key-is-bound")
    assert_problem(bound.get(URL), 403, "key-is-bound")
    reader = api.client_with(Scope.adapters_read)
    assert reader.get(URL).status_code == 200
    assert_problem(reader.post(URL, json=order(api)), 403, "missing-scope")


class TestGate:
    """An adapter that a registered server cannot serve is refused before it is published."""

    def limited(self, api: Api, **limits: Any) -> None:
        response = api.client.post(URL, json=order(api, limits=limits))
        assert response.status_code == 201, response.text

    def train(self, api: Api, **lora: Any) -> Any:
        recipe = {**RECIPE.model_dump(mode="json"), "lora": lora}
        source = {"type": "train", "dataset": api.dataset(people(4)), "recipe": recipe}
        return api.client.post("/v1/adapters/bot/versions", json={"source": source})

    def empty_line(self, api: Api) -> None:
        response = api.client.post("/v1/adapters", json={"name": "bot", "base_model": {"path": "/base"}})
        assert response.status_code == 201

    def test_a_recipe_beyond_the_rank(self, api: Api) -> None:
        self.empty_line(api)
        self.limited(api, max_lora_rank=16)
        problem = assert_problem(self.train(api, r=32, alpha=32), 422, CODE, field="/source/recipe/lora")
        assert problem["detail"] == "Serving target chat: The adapter has rank 32; the server takes at most 16."
        assert self.train(api, r=16, alpha=32).status_code == 202

    def test_a_recipe_with_other_modules(self, api: Api) -> None:
        self.empty_line(api)
        self.limited(api, target_modules=["q_proj", "v_proj"])
        problem = assert_problem(self.train(api, r=4, alpha=8, target_modules=["q_proj", "o_proj"]), 422, CODE)
        assert "o_proj" in str(problem["detail"])

    def test_an_import_leaves_nothing_behind(self, api: Api) -> None:
        self.empty_line(api)
        self.limited(api, max_lora_rank=2)
        source = {"type": "import", "dataset": api.dataset(people(4))}
        parts = {"archive": ("bot.tar.gz", archive(files()))}
        before = api.stored_files()
        response = api.client.post("/v1/adapters/bot/versions", data={"source": json.dumps(source)}, files=parts)
        assert_problem(response, 422, CODE, field="/archive/adapter_config.json")
        assert api.stored_files() == before

    def test_servers_that_cannot_serve_what_is_in_production(self, api: Api) -> None:
        api.line("bot", people(4))
        response = api.client.post(URL, json=order(api, limits={"max_lora_rank": 8}))
        problem = assert_problem(response, 409, CODE, field="/limits")
        assert problem["detail"] == "Line bot: The adapter has rank 16; the server takes at most 8."

    def test_servers_that_were_registered_while_it_was_trained(self, api: Api) -> None:
        self.empty_line(api)
        version = self.train(api, r=32, alpha=32).json()
        self.limited(api, max_lora_rank=16)
        claimed = api.claim(version["run"])
        assert claimed is not None
        with api.store.write() as unit:
            publish_first_anchor(unit, api.vault, claimed, api.staged_anchor())
        read = api.client.get("/v1/adapters/bot/versions/v1").json()
        assert (read["state"], read["rejection"]["code"]) == ("rejected", CODE)


def test_what_clients_see_of_a_swap(api: Api, tmp_path: Path) -> None:
    serving = Serving(api, tmp_path)
    pusher = serving.pusher()
    serving.publish()
    with vllm_double(serving.base, max_loras=4) as double:
        path = f"{URL}/{serving.register(double.url)}"
        push(pusher)
        serving.publish()
        (request,) = serving.publisher.requests
        evidence = api.client.get(f"/v1/unlearning-requests/{request}").json()["links"]["swap_receipts"]
        assert replicas_in_report(api, request) == [("v1", False)]
        assert api.client.get(path).json()["replicas"][0]["state"] == "behind"
        assert api.client.get(evidence).json() == {"items": []}
        push(pusher)
    (replica,) = api.client.get(path).json()["replicas"]
    assert (replica["state"], replica["desired"], replica["proven"], replica["loaded"]) == (
        "current", "v2", "v2", ["v2"],
    )  # fmt: skip
    assert replicas_in_report(api, request) == [("v2", True)]
    page = api.client.get(f"/v1/unlearning-requests/{request}/report", params={"format": "html"}).text
    assert "Inference replicas that Lethe drives" in page
    assert replica["id"] in page
    (receipt,) = api.client.get(evidence).json()["items"]
    assert (receipt["version"], receipt["replica"], receipt["outcome"]) == ("v2", replica["id"], "proven")
    assert 0 < receipt["seconds"] < 60
    metrics = api.client_of(None).get("/metrics").text
    assert 'lethe_replicas{state="current"} 1.0' in metrics
    assert 'lethe_replicas{state="behind"} 0.0' in metrics
    assert "lethe_swap_duration_seconds_count 2.0" in metrics
    pusher.close()


def push(pusher: Pusher) -> None:
    pusher.push_due()
    pusher.wait()


def replicas_in_report(api: Api, request: str) -> list[tuple[str, bool]]:
    (target,) = api.client.get(f"/v1/unlearning-requests/{request}/report").json()["targets"]
    return [(replica["version"], replica["has_swapped"]) for replica in target["replicas"]]
