"""Manifests: written out in full once, and valid under the schemas of those who read them."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from service.domain.errors import Conflict
from service.hotswap.manifests import KINDS, Placement, RewriteGroup, as_yaml

CRDS = Path(__file__).parent / "crds"
PLACEMENT = Placement(
    line="support-bot", alias="production", number=3, digest="sha256:9f86", base_path="/models/llama-3-8b"
)
GOLDEN = {
    "inference-model-rewrite": """\
apiVersion: llm-d.ai/v1alpha2
kind: InferenceModelRewrite
metadata:
  name: support-bot-production
  labels:
    app.kubernetes.io/managed-by: lethe
  annotations:
    lethe.version: support-bot@v3
    lethe.digest: sha256:9f86
spec:
  poolRef:
    group: inference.networking.k8s.io
    kind: InferencePool
    name: llama-3-8b
  rules:
  - matches:
    - model:
        type: Exact
        value: support-bot@production
    - model:
        type: Exact
        value: support-bot
    targets:
    - modelRewrite: support-bot@v3
""",
    "lora-adapter": """\
apiVersion: production-stack.vllm.ai/v1alpha1
kind: LoraAdapter
metadata:
  name: support-bot-v3
  labels:
    app.kubernetes.io/managed-by: lethe
  annotations:
    lethe.version: support-bot@v3
    lethe.digest: sha256:9f86
spec:
  baseModel: llama-3-8b
  adapterSource:
    type: local
    adapterName: support-bot@v3
    adapterPath: /adapters/support-bot@v3
  loraAdapterDeploymentConfig:
    algorithm: default
""",
    "dynamo-model": """\
apiVersion: nvidia.com/v1alpha1
kind: DynamoModel
metadata:
  name: support-bot-v3
  labels:
    app.kubernetes.io/managed-by: lethe
  annotations:
    lethe.version: support-bot@v3
    lethe.digest: sha256:9f86
spec:
  modelName: support-bot@v3
  baseModelName: llama-3-8b
  modelType: lora
  source:
    uri: hf://support-bot/v3
""",
}
PLACEMENTS = [
    PLACEMENT,
    replace(PLACEMENT, alias="canary", namespace="serving", pool="pool", base_model="llama", directory="/mnt/a/"),
    replace(PLACEMENT, line="a_b.c", alias="x_", base_path="Qwen/Qwen3-0.6B"),
    replace(PLACEMENT, line="9" * 63, alias="z" * 63, group=RewriteGroup.gateway_api),
]


def built(kind: str, placement: Placement) -> Any:
    return yaml.safe_load(as_yaml(KINDS[kind](placement)))


def closed(schema: Any) -> Any:
    """The schema, with members that it does not name refused."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: closed(value) for name, value in schema.items()}
    return found | {"additionalProperties": False} if found.get("type") == "object" else found


def test_every_kind_is_written_out_here() -> None:
    assert GOLDEN.keys() == KINDS.keys() == {path.stem for path in CRDS.glob("*.yaml")}


@pytest.mark.parametrize("kind", KINDS)
def test_as_written_out(kind: str) -> None:
    assert as_yaml(KINDS[kind](PLACEMENT)) == GOLDEN[kind]


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("kind", KINDS)
def test_its_reader_accepts_it(kind: str, placement: Placement) -> None:
    crd, manifest = yaml.safe_load((CRDS / f"{kind}.yaml").read_text()), built(kind, placement)

    group, _, version = manifest["apiVersion"].partition("/")
    assert (group in crd["groups"], version, manifest["kind"]) == (True, crd["version"], crd["kind"])
    jsonschema.validate(manifest["spec"], closed(crd["spec"]))
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", manifest["metadata"]["name"])


def test_only_production_is_what_the_bare_name_means() -> None:
    rules = built("inference-model-rewrite", replace(PLACEMENT, alias="canary"))["spec"]["rules"]

    assert [match["model"]["value"] for rule in rules for match in rule["matches"]] == ["support-bot@canary"]


@pytest.mark.parametrize("kind", ["lora-adapter", "dynamo-model"])
def test_lines_with_like_names_do_not_share_an_object(kind: str) -> None:
    names = {built(kind, replace(PLACEMENT, line=line))["metadata"]["name"] for line in ("a.b", "a_b", "a-b")}

    assert len(names) == 3


def test_the_base_model_is_called_by_its_hub_id_where_that_is_possible() -> None:
    hub = replace(PLACEMENT, base_path="Qwen/Qwen3-0.6B")

    assert built("dynamo-model", hub)["spec"]["baseModelName"] == "Qwen/Qwen3-0.6B"
    assert built("lora-adapter", hub)["spec"]["baseModel"] == "Qwen3-0.6B", "a pod's label holds no slash"
    assert built("inference-model-rewrite", hub)["spec"]["poolRef"]["name"] == "qwen3-0-6b"


def test_a_canary_gets_its_share_of_the_requests() -> None:
    text = as_yaml(KINDS["inference-model-rewrite"](replace(PLACEMENT, canary=(4, 0.1))))
    (rule,) = yaml.safe_load(text)["spec"]["rules"]
    assert rule["targets"] == [
        {"modelRewrite": "support-bot@v3", "weight": 900},
        {"modelRewrite": "support-bot@v4", "weight": 100},
    ]


def test_what_hub_clients_cannot_name_has_no_manifest_that_needs_them() -> None:
    with pytest.raises(Conflict) as refused:
        KINDS["dynamo-model"](replace(PLACEMENT, line="bot--eu"))
    assert refused.value.code == "no-hub-name"
