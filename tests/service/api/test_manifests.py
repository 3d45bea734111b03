"""Manifests over HTTP: of the version an alias points at now, with what the cluster calls things."""

import yaml

from service.domain.scopes import Scope
from tests.support.api import Api, assert_problem, removal

URL = "/v1/adapters/bot/manifests"


def test_it_follows_the_alias(api: Api, line: str) -> None:
    before = yaml.safe_load(api.client.get(f"{URL}/inference-model-rewrite").text)
    api.client.post("/v1/unlearning-requests", json=removal("p1-0"))
    api.serve(line)
    response = api.client.get(f"{URL}/inference-model-rewrite")
    after = yaml.safe_load(response.text)
    assert response.headers["content-type"] == "application/yaml"
    targets = [manifest["spec"]["rules"][0]["targets"] for manifest in (before, after)]
    assert targets == [[{"modelRewrite": "bot@v1"}], [{"modelRewrite": "bot@v2"}]]
    assert (
        after["metadata"]["annotations"]["lethe.digest"]
        == api.client.get("/v1/adapters/bot/versions/v2").json()["digest"]
    )


def test_what_the_cluster_calls_things(api: Api, line: str) -> None:
    api.client.put("/v1/adapters/bot/aliases/canary", json={"version": "v1", "expected": None})
    asked = {"alias": "canary", "namespace": "serving", "pool": "qwen", "group": "inference.networking.x-k8s.io"}
    rewrite = yaml.safe_load(api.client.get(f"{URL}/inference-model-rewrite", params=asked).text)
    assert rewrite["apiVersion"] == "inference.networking.x-k8s.io/v1alpha2"
    assert (rewrite["metadata"]["name"], rewrite["metadata"]["namespace"]) == ("bot-canary", "serving")
    assert rewrite["spec"]["poolRef"]["name"] == "qwen"
    asked = {"base_model": "llama-8b", "directory": "/mnt/adapters"}
    adapter = yaml.safe_load(api.client.get(f"{URL}/lora-adapter", params=asked).text)
    assert adapter["spec"]["baseModel"] == "llama-8b"
    assert adapter["spec"]["adapterSource"]["adapterPath"] == "/mnt/adapters/bot@v1"


def test_an_unknown_kind_is_told_which_there_are(api: Api, line: str) -> None:
    kinds = ["inference-model-rewrite", "lora-adapter", "dynamo-model"]
    problem = assert_problem(api.client.get(f"{URL}/helm-chart"), 404, "unknown-manifest", field="kind", kinds=kinds)
    assert all(kind in str(problem["fix"]) for kind in kinds)


def test_calls_that_cannot_be_met(api: Api, line: str) -> None:
    assert_problem(api.client.get(f"{URL}/lora-adapter?alias=canary"), 404, "unknown-alias")
    assert_problem(api.client.get("/v1/adapters/other/manifests/lora-adapter"), 404, "unknown-adapter")
    for parameter, value in (("namespace", "A b"), ("pool", "-"), ("directory", "adapters"), ("group", "x")):
        response = api.client.get(f"{URL}/lora-adapter", params={parameter: value})
        assert_problem(response, 422, "invalid-input", field=parameter)


def test_a_key_of_another_line(api: Api, line: str) -> None:
    stranger = api.client_with(Scope.adapters_read, lines=["other"])
    assert_problem(stranger.get(f"{URL}/lora-adapter"), 404, "unknown-adapter")
