"""The service's API as Python calls: one method a route, typed answers, `Problem` for refusals."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import islice
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import httpx

from service.cli.models import (
    Dataset,
    Event,
    InboundEndpoint,
    Line,
    Plan,
    Report,
    Request,
    Run,
    ServingTarget,
    SigningKey,
    Version,
)
from service.cli.sse import follow
from service.cli.transport import Transport
from service.domain.adapters import BaseModelRef, Recipe, TrainingFormat
from service.domain.operations import Operation
from service.domain.probes import Probe
from service.domain.signing import KeyPurpose, RevocationReason
from service.evidence.model_signature import BUNDLE

YAML = "application/yaml"
DEFAULT_URL = "http://127.0.0.1:8080"


class LetheClient:
    """A connection to one service with one API key. Every method raises Problem."""

    def __init__(self, url: str = DEFAULT_URL, key: str | None = None) -> None:
        self.transport = Transport(url, key)

    @classmethod
    def from_environment(cls) -> "LetheClient":
        """`LETHE_URL` and `LETHE_API_KEY`."""
        return cls(os.environ.get("LETHE_URL", DEFAULT_URL), os.environ.get("LETHE_API_KEY"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.transport.close()

    # Datasets

    def upload_dataset(self, file: Path, *, name: str | None = None) -> Dataset:
        """Upload a JSONL file."""
        answer = self.transport.upload(
            "/v1/datasets", file, content_type="application/x-ndjson", params={"name": name or file.name}
        )
        return Dataset.model_validate(answer)

    def datasets(self) -> Iterator[Dataset]:
        return (Dataset.model_validate(item) for item in self._pages("/v1/datasets"))

    # Lines and versions

    def create_line(self, name: str, base_model: BaseModelRef, policy: Mapping[str, Any] | None = None) -> Line:
        body = {"name": name, "base_model": base_model.model_dump(mode="json"), "policy": dict(policy or {})}
        return Line.model_validate(self.transport.send("POST", "/v1/adapters", body))

    def line(self, name: str) -> Line:
        return Line.model_validate(self.transport.get(f"/v1/adapters/{name}"))

    def change_policy(self, name: str, changes: Mapping[str, Any]) -> Line:
        return Line.model_validate(self.transport.send("PATCH", f"/v1/adapters/{name}", {"policy": dict(changes)}))

    def retire(self, name: str, reason: str) -> Line:
        """Take a line out of service for good."""
        return Line.model_validate(self.transport.send("POST", f"/v1/adapters/{name}/retire", {"reason": reason}))

    def lines(self) -> Iterator[Line]:
        return (Line.model_validate(item) for item in self._pages("/v1/adapters"))

    def train(
        self, adapter: str, dataset: str, *, holdout: str | None, recipe: Recipe, training_format: TrainingFormat
    ) -> Version:
        """Start the training of a line's next version."""
        source = {
            "type": "train",
            "dataset": dataset,
            "holdout": holdout,
            "recipe": recipe.model_dump(mode="json"),
            "training_format": training_format.model_dump(mode="json"),
        }
        return Version.model_validate(
            self.transport.send("POST", f"/v1/adapters/{adapter}/versions", {"source": source})
        )

    def import_adapter(
        self,
        adapter: str,
        archive: Path,
        dataset: str,
        *,
        holdout: str | None,
        record: Path | None,
        recipe: Recipe | None,
        training_format: TrainingFormat,
        expected_losses: Mapping[str, float] | None,
    ) -> Version:
        """Start taking over an adapter that was trained elsewhere. `archive` and `record`: tar files."""
        source = {
            "type": "import",
            "dataset": dataset,
            "holdout": holdout,
            "recipe": None if recipe is None else recipe.model_dump(mode="json"),
            "training_format": training_format.model_dump(mode="json"),
            "expected_losses": None if expected_losses is None else dict(expected_losses),
        }
        files = {"archive": archive} | ({} if record is None else {"training_record": record})
        path = f"/v1/adapters/{adapter}/versions"
        return Version.model_validate(self.transport.send_form(path, {"source": source}, files))

    def version(self, adapter: str, version: str) -> Version:
        """`version` is `v3` or an alias."""
        return Version.model_validate(self.transport.get(f"/v1/adapters/{adapter}/versions/{version}"))

    def probe(self, adapter: str, version: str) -> Probe:
        """How to tell by its answers whether an inference server really uses a version."""
        return Probe.model_validate(self.transport.get(f"/v1/adapters/{adapter}/versions/{version}/probe"))

    def versions(self, adapter: str) -> Iterator[Version]:
        return (Version.model_validate(item) for item in self._pages(f"/v1/adapters/{adapter}/versions"))

    def signature(self, adapter: str, version: str) -> str:
        """The OpenSSF model signature of a version's files, as a Sigstore bundle."""
        return self.transport.text(f"/v1/adapters/{adapter}/versions/{version}/signature", BUNDLE)

    def manifest(self, adapter: str, kind: str, asked: Mapping[str, str | None]) -> str:
        """A Kubernetes manifest, as YAML. `asked`: its query parameters; None for the service's default."""
        return self.transport.text(f"/v1/adapters/{adapter}/manifests/{kind}", YAML, asked)

    def set_alias(self, adapter: str, alias: str, version: str, *, expected: str | None) -> Mapping[str, Any]:
        """Point an alias at `version` if it points at `expected` now (None: if it does not exist yet)."""
        body = {"version": version, "expected": expected}
        answer: Mapping[str, Any] = self.transport.send("PUT", f"/v1/adapters/{adapter}/aliases/{alias}", body)
        return answer

    def rebuild(self, adapter: str) -> Run:
        return Run.model_validate(self.transport.send("POST", f"/v1/adapters/{adapter}/rebuilds", {}))

    # Unlearning

    def submit(self, body: Mapping[str, Any]) -> Request:
        return Request.model_validate(self.transport.send("POST", "/v1/unlearning-requests", body))

    def plan(self, body: Mapping[str, Any]) -> Plan:
        return Plan.model_validate(self.transport.send("POST", "/v1/unlearning-plans", body))

    def request(self, request_id: str) -> Request:
        return Request.model_validate(self.transport.get(f"/v1/unlearning-requests/{request_id}"))

    def accept(self, request_id: str, reason: str) -> Request:
        """Let an outcome stand that falls short."""
        answer = self.transport.send("POST", f"/v1/unlearning-requests/{request_id}/accept", {"reason": reason})
        return Request.model_validate(answer)

    def requests(self, limit: int) -> list[Request]:
        """The newest ones, at most `limit`."""
        items = islice(self._pages("/v1/unlearning-requests"), limit)
        return [Request.model_validate(item) for item in items]

    def report(self, request_id: str) -> Report:
        return Report.model_validate(self.transport.get(f"/v1/unlearning-requests/{request_id}/report"))

    def report_page(self, request_id: str) -> str:
        """The report as an HTML page."""
        return self.transport.text(f"/v1/unlearning-requests/{request_id}/report", "text/html")

    def certificates(self, request_id: str) -> Sequence[Mapping[str, Any]]:
        """Signed statements as DSSE envelopes, newest first."""
        return list(self._pages(f"/v1/unlearning-requests/{request_id}/certificates"))

    def run(self, run_id: str) -> Run:
        return Run.model_validate(self.transport.get(f"/v1/runs/{run_id}"))

    def public_keys(self) -> Mapping[str, Any]:
        """The JSON Web Key Set that certificates verify with."""
        keys: Mapping[str, Any] = self.transport.get("/.well-known/jwks.json")
        return keys

    # Inference servers

    def add_serving_target(self, body: Mapping[str, Any]) -> ServingTarget:
        return ServingTarget.model_validate(self.transport.send("POST", "/v1/serving-targets", body))

    def serving_targets(self) -> Iterator[ServingTarget]:
        """Newest first."""
        return (ServingTarget.model_validate(item) for item in self._pages("/v1/serving-targets"))

    def serving_target(self, target: str) -> ServingTarget:
        return ServingTarget.model_validate(self.transport.get(f"/v1/serving-targets/{quote(target, safe='')}"))

    def remove_serving_target(self, target: str, *, forget: bool) -> None:
        """Have its replicas emptied, or `forget` them at once."""
        self.transport.delete(f"/v1/serving-targets/{quote(target, safe='')}", {"forget": str(forget).lower()})

    # Signing keys and the audit chain

    def signing_keys(self) -> list[SigningKey]:
        """Newest first, retired and revoked ones too."""
        return [SigningKey.model_validate(item) for item in self.transport.get("/v1/signing-keys")["items"]]

    def rotate_signing_key(self, purpose: KeyPurpose) -> SigningKey:
        answer = self.transport.send("POST", "/v1/signing-keys/rotate", {"purpose": purpose})
        return SigningKey.model_validate(answer)

    def revoke_signing_key(self, kid: str, reason: RevocationReason) -> SigningKey:
        return SigningKey.model_validate(
            self.transport.send("POST", f"/v1/signing-keys/{quote(kid, safe='')}/revoke", {"reason": reason})
        )

    def audit_lines(self) -> Iterator[str]:
        """The whole audit chain, one row a line as JSON, and its signed head as the last line."""
        return self.transport.lines("/v1/audit", accept="application/x-ndjson")

    # Inbound

    def inbound_endpoints(self) -> Iterator[InboundEndpoint]:
        return (InboundEndpoint.model_validate(item) for item in self._pages("/v1/inbound-endpoints"))

    def create_inbound_endpoint(self, body: Mapping[str, Any]) -> InboundEndpoint:
        return InboundEndpoint.model_validate(self.transport.send("POST", "/v1/inbound-endpoints", dict(body)))

    def rotate_inbound_secret(self, endpoint_id: str, secret: str | None) -> InboundEndpoint:
        path = f"/v1/inbound-endpoints/{endpoint_id}/secrets"
        return InboundEndpoint.model_validate(self.transport.send("POST", path, {"secret": secret}))

    def delete_inbound_endpoint(self, endpoint_id: str) -> None:
        self.transport.send("DELETE", f"/v1/inbound-endpoints/{endpoint_id}", None)

    # The feed

    def feed_end(self) -> str:
        """A cursor after the newest event."""
        page = self.transport.get("/v1/events", {"start": "now", "limit": 1})
        return str(page["next_cursor"])

    def events(self, cursor: str) -> Iterator[Event]:
        """Every event after a cursor, live and without end."""

        def connect(last_event_id: str | None) -> AbstractContextManager[httpx.Response]:
            return self.transport.feed("/v1/events", {"cursor": cursor}, last_event_id)

        for event in follow(connect, last_event_id=None):
            yield Event.model_validate_json(event.data)

    def _pages(self, path: str) -> Iterator[dict[str, Any]]:
        """The items of a cursor-paged list."""
        cursor: str | None = None
        while True:
            page = self.transport.get(path, {"cursor": cursor})
            yield from page["items"]
            cursor = page.get("next_cursor")
            if cursor is None:
                return


def unlearning_body(
    operations: Sequence[Operation],
    *,
    adapters: Sequence[str] = (),
    strategy: str | None = None,
    client_reference: str | None = None,
    regulation: str | None = None,
) -> dict[str, Any]:
    """The body of a request or a plan. Without adapters it concerns every line that holds a match."""
    body = {
        "operations": [operation.model_dump(mode="json", exclude_none=True) for operation in operations],
        "adapters": list(adapters) or None,
        "strategy": strategy,
        "client_reference": client_reference,
        "regulation": regulation,
    }
    return {name: value for name, value in body.items() if value is not None}
