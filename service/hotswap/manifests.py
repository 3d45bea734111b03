"""Kubernetes manifests that put a version into service: pure functions of a line's alias.

Everything is named after the version, `support-bot@v3`, which is what servers call it and what never changes. Lethe
does not apply them: they are for pipelines that keep a cluster's state in a repository.

| kind | read by |
|---|---|
| `inference-model-rewrite` | the endpoint picker of llm-d-router, before that of the Gateway API inference extension |
| `lora-adapter` | the operator of vLLM's production-stack |
| `dynamo-model` | the operator of NVIDIA Dynamo |
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

import yaml

from service.domain.errors import Conflict
from service.flows.new_version import PRODUCTION
from service.hotswap.names import VersionName

Manifest = dict[str, object]
# Weights are whole numbers from 1; their sum only sets how fine they are.
WEIGHTS = 1000


class RewriteGroup(StrEnum):
    """The API group of InferenceModelRewrite: llm-d-router's, or what it was in the Gateway API inference extension.

    The schema is the same in both.
    """

    llm_d = "llm-d.ai"
    gateway_api = "inference.networking.x-k8s.io"


@dataclass(frozen=True, slots=True)
class Placement:
    """Which version an alias stands for, and where in the cluster it is wanted.

    Args:
        number: of the version the alias points at.
        canary: number of the version on trial beside it, and its share of the traffic.
        base_path: the line's base model: a local directory or a Hub id.
        base_model: what the cluster calls the base model; None for the name that `base_path` suggests.
        pool: the InferencePool; None for one called like the base model.
        directory: where servers find a directory for each version, called like the version.
    """

    line: str
    alias: str
    number: int
    digest: str
    base_path: str
    canary: tuple[int, float] | None = None
    namespace: str | None = None
    base_model: str | None = None
    pool: str | None = None
    directory: str = "/adapters"
    group: RewriteGroup = RewriteGroup.llm_d

    @property
    def version(self) -> VersionName:
        return VersionName(self.line, self.number)


def inference_model_rewrite(placement: Placement) -> Manifest:
    """Requests for the alias go to its version; `production` is also what the bare name of the line means.

    One object an alias, changed when the alias moves.
    """
    asked_for = [f"{placement.line}@{placement.alias}", *([placement.line] if placement.alias == PRODUCTION else [])]
    return {
        "apiVersion": f"{placement.group}/v1alpha2",
        "kind": "InferenceModelRewrite",
        "metadata": _metadata(placement, placement.alias),
        "spec": {
            "poolRef": {
                "group": "inference.networking.k8s.io",
                "kind": "InferencePool",
                "name": placement.pool or _plain(_last_part(placement.base_path)),
            },
            "rules": [
                {
                    "matches": [{"model": {"type": "Exact", "value": name}} for name in asked_for],
                    "targets": _targets(placement),
                }
            ],
        },
    }


def _targets(placement: Placement) -> list[Manifest]:
    if placement.canary is None:
        return [{"modelRewrite": str(placement.version)}]
    number, share = placement.canary
    weight = max(1, round(share * WEIGHTS))
    return [
        {"modelRewrite": str(placement.version), "weight": WEIGHTS - weight},
        {"modelRewrite": str(VersionName(placement.line, number)), "weight": weight},
    ]


def lora_adapter(placement: Placement) -> Manifest:
    """Pods of the base model load the version from a directory they share. One object a version.

    Of the operator's sources only `local` needs neither a download sidecar nor a secret; `s3` and `http` are
    declared in its schema, but not implemented.
    """
    return {
        "apiVersion": "production-stack.vllm.ai/v1alpha1",
        "kind": "LoraAdapter",
        "metadata": _metadata(placement, f"v{placement.number}"),
        "spec": {
            "baseModel": placement.base_model or _last_part(placement.base_path),
            "adapterSource": {
                "type": "local",
                "adapterName": str(placement.version),
                "adapterPath": f"{placement.directory.rstrip('/')}/{placement.version}",
            },
            "loraAdapterDeploymentConfig": {"algorithm": "default"},
        },
    }


def dynamo_model(placement: Placement) -> Manifest:
    """Workers of the base model fetch the version from Lethe's Hub facade (`HF_ENDPOINT`). One object a version.

    Raises Conflict: the line's name is none that Hub clients take.
    """
    if placement.version.hub is None:
        raise Conflict(
            "The line has no repository under `/hub`, because Hub clients refuse its name.",
            field="name",
            fix="Use `lora-adapter`, or train into a line with another name.",
            code="no-hub-name",
        )
    return {
        "apiVersion": "nvidia.com/v1alpha1",
        "kind": "DynamoModel",
        "metadata": _metadata(placement, f"v{placement.number}"),
        "spec": {
            "modelName": str(placement.version),
            "baseModelName": placement.base_model or _hub_id(placement.base_path),
            "modelType": "lora",
            "source": {"uri": f"hf://{placement.version.hub}"},
        },
    }


KINDS: Mapping[str, Callable[[Placement], Manifest]] = MappingProxyType(
    {
        "inference-model-rewrite": inference_model_rewrite,
        "lora-adapter": lora_adapter,
        "dynamo-model": dynamo_model,
    }
)


def as_yaml(manifest: Manifest) -> str:
    """YAML in the order in which such documents are read."""
    text: str = yaml.safe_dump(manifest, sort_keys=False, width=119)
    return text


def _metadata(placement: Placement, suffix: str) -> Manifest:
    namespace = {} if placement.namespace is None else {"namespace": placement.namespace}
    return {
        "name": _object_name(f"{placement.line}-{suffix}"),
        **namespace,
        "labels": {"app.kubernetes.io/managed-by": "lethe"},
        "annotations": {"lethe.version": str(placement.version), "lethe.digest": placement.digest},
    }


def _object_name(name: str) -> str:
    """A name that Kubernetes takes everywhere (RFC 1123 label). Different names stay different."""
    plain = _plain(name)
    return plain if plain == name else f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:50]


def _last_part(base_path: str) -> str:
    return base_path.rstrip("/").rpartition("/")[2]


def _hub_id(base_path: str) -> str:
    """What servers call a base model unless told otherwise: its Hub id, or the last part of its path."""
    return _last_part(base_path) if base_path.startswith(("/", ".")) else base_path
