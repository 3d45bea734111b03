"""Versions: made, rolled forward, read, downloaded."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from service.client.answers.adapters import RollForwardPlan, Version
from service.client.answers.common import Page
from service.client.call import UPLOAD_S, Call, Form, Json, One, new_key, nothing, path, text
from service.client.calls.adapters import LINE
from service.domain.adapters import Recipe, TrainingFormat
from service.domain.probes import Probe

VERSIONS = f"{LINE}/versions"
VERSION = f"{VERSIONS}/{{version}}"
# The bytes as they are: digests and ranges are of those.
PLAIN = {"Accept": "*/*", "Accept-Encoding": "identity"}


def train(
    name: str,
    dataset: str,
    *,
    holdout: str | None = None,
    recipe: Recipe | None = None,
    training_format: TrainingFormat | None = None,
    idempotency_key: str | None = None,
) -> Call[Version]:
    """Start the training of a line's next version."""
    source = {
        "type": "train",
        "dataset": dataset,
        "holdout": holdout,
        "recipe": (recipe or Recipe()).model_dump(mode="json"),
        "training_format": (training_format or TrainingFormat()).model_dump(mode="json"),
    }
    where = path(VERSIONS, name=name)
    return Call("POST", where, One(Version), body=Json({"source": source}), idempotency_key=new_key(idempotency_key))


def import_adapter(
    name: str,
    archive: Path,
    dataset: str,
    *,
    holdout: str | None = None,
    record: Path | None = None,
    recipe: Recipe | None = None,
    training_format: TrainingFormat | None = None,
    expected_losses: Mapping[str, float] | None = None,
    idempotency_key: str | None = None,
) -> Call[Version]:
    """Start taking over an adapter that was trained elsewhere. `archive` and training `record`: tar or zip files."""
    source: dict[str, Any] = {
        "type": "import",
        "dataset": dataset,
        "holdout": holdout,
        "recipe": None if recipe is None else recipe.model_dump(mode="json"),
        "training_format": (training_format or TrainingFormat()).model_dump(mode="json"),
        "expected_losses": None if expected_losses is None else dict(expected_losses),
    }
    files = {"archive": archive} | ({} if record is None else {"training_record": record})
    return Call(
        "POST",
        path(VERSIONS, name=name),
        One(Version),
        body=Form({"source": source}, files),
        idempotency_key=new_key(idempotency_key),
        timeout=UPLOAD_S,
    )


def list_versions(name: str, *, cursor: str | None = None, limit: int | None = None) -> Call[Page[Version]]:
    """A line's versions, newest first."""
    params = {"cursor": cursor, "limit": limit}
    return Call("GET", path(VERSIONS, name=name), One(Page[Version]), params=params)


def get_version(name: str, version: str) -> Call[Version]:
    """A version; `version` is `v3` or an alias."""
    return Call("GET", path(VERSION, name=name, version=version), One(Version))


def get_probe(name: str, version: str) -> Call[Probe]:
    """How to tell by its answers whether an inference server really uses a version."""
    return Call("GET", path(f"{VERSION}/probe", name=name, version=version), One(Probe))


def plan_roll_forward(name: str, version: str) -> Call[RollForwardPlan]:
    """What a roll-forward to a version would train. Changes nothing."""
    where = path(f"{LINE}/roll-forward-plans", name=name)
    return Call("POST", where, One(RollForwardPlan), body=Json({"version": version}))


def create_roll_forward(name: str, version: str, *, idempotency_key: str | None = None) -> Call[Version]:
    """Train an older version's recipe anew, without what was removed since and with what was corrected."""
    where = path(f"{LINE}/roll-forwards", name=name)
    body = Json({"version": version})
    return Call("POST", where, One(Version), body=body, idempotency_key=new_key(idempotency_key))


def download_archive(name: str, version: str, *, format: str | None = None) -> Call[None]:
    """A version as one archive: `tar.gz` (default), `tar` or `zip`. To be streamed."""
    where = path(f"{VERSION}/archive", name=name, version=version)
    return Call("GET", where, nothing, params={"format": format}, headers=PLAIN)


def download_file(name: str, version: str, file: str) -> Call[None]:
    """A file of a version. To be streamed."""
    return Call(
        "GET", path(f"{VERSION}/files/{{file}}", name=name, version=version, file=file), nothing, headers=PLAIN
    )


def get_presigned_url(name: str, version: str, file: str) -> Call[str]:
    """A URL of the bucket that reads a file without a key, for five minutes. Only where blobs are on S3."""

    def location(response: httpx.Response) -> str:
        return response.headers["Location"]

    where = path(f"{VERSION}/files/{{file}}", name=name, version=version, file=file)
    return Call("GET", where, location, params={"presigned": "true"}, redirects=True)


def download_signature(name: str, version: str) -> Call[str]:
    """The OpenSSF model signature of a version's files, as a Sigstore bundle."""
    return Call("GET", path(f"{VERSION}/signature", name=name, version=version), text, headers=PLAIN)


def get_manifest(
    name: str,
    kind: str,
    *,
    alias: str | None = None,
    namespace: str | None = None,
    base_model: str | None = None,
    pool: str | None = None,
    directory: str | None = None,
    group: str | None = None,
) -> Call[str]:
    """A Kubernetes manifest of the version that an alias points at, as YAML; None for the service's default."""
    params = {
        "alias": alias,
        "namespace": namespace,
        "base_model": base_model,
        "pool": pool,
        "directory": directory,
        "group": group,
    }
    where = path(f"{LINE}/manifests/{{kind}}", name=name, kind=kind)
    return Call("GET", where, text, params=params, headers={"Accept": "application/yaml"})
