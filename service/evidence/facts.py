"""What a certificate is made from. Data and people appear only as keyed hashes and ids."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from service.domain.acceptance import Acceptance
from service.domain.adapters import ClaimLevel
from service.domain.probes import ProbeOutcome
from service.domain.serving import Precision, ServerKind


class Copy(StrEnum):
    """Where data of the request, or weights trained on them, may still be."""

    sealed_rows = "sealed_rows"
    quarantined_anchor = "quarantined_anchor"
    derived_data = "derived_data"
    out_of_fold_predictions = "out_of_fold_predictions"
    worker_caches = "worker_caches"
    older_versions = "older_versions"
    inference_replicas = "inference_replicas"
    backups = "backups"


@dataclass(frozen=True, slots=True)
class RemainingCopy:
    """A copy that still exists; `until`: when it will be destroyed at the latest, None if Lethe cannot know."""

    kind: Copy
    until: datetime | None


@dataclass(frozen=True, slots=True)
class DestroyedCopy:
    """A copy that is gone. Of what is sealed, the keys were destroyed: the ciphertext means nothing any more."""

    kind: Copy
    at: datetime


class Fate(StrEnum):
    """What becomes of a version that does not cover the request.

    `in_service`: it can be read, and nothing is scheduled. `retained`: it can be read until `at`. `quarantined`: it
    is never served, and destroyed by `at`. `withdrawn`: it cannot be read since `at`.
    """

    in_service = "in_service"
    retained = "retained"
    quarantined = "quarantined"
    withdrawn = "withdrawn"


@dataclass(frozen=True, slots=True)
class SupersededVersion:
    """A version made before the request was answered."""

    name: str
    fate: Fate
    at: datetime | None


@dataclass(frozen=True, slots=True)
class BaseModelFacts:
    """The frozen weights: a Hub id or the name of a directory, and what pins them."""

    id: str
    revision: str | None
    digest: str | None


@dataclass(frozen=True, slots=True)
class VersionFacts:
    """The published version; of a retired line the last one, which may lack files and digest.

    `parent` and `anchor` are version names such as `support-bot@v1`.
    """

    name: str
    digest: str | None
    files: Mapping[str, str]
    parent: str | None
    anchor: str
    base_model: BaseModelFacts
    superseded: Sequence[SupersededVersion]


@dataclass(frozen=True, slots=True)
class DatasetFacts:
    """The dataset that the version's anchor was trained from. `digest`: keyed; None for the oldest datasets."""

    id: str
    digest: str | None
    instance_count: int


@dataclass(frozen=True, slots=True)
class LedgerFacts:
    """What was erased and changed, as keyed hashes in hex. `digest` is the keyed hash of the ledger's digest.

    `subjects`: the data subjects by whom the request selected, if it did.
    """

    hash_key: str
    digest: str
    removed: Sequence[str]
    corrected: Sequence[str]
    subjects: Sequence[str]
    dataset: DatasetFacts


@dataclass(frozen=True, slots=True)
class MethodFacts:
    """How the version was made. `seconds` per stage; `measurements` and `parameters` are JSON.

    `deterministic`: whether the same data, parameters and machine give the same bytes again. `not_run`: tests that
    were not run, by name, with the reason.
    """

    strategy: str
    engine_version: str
    libraries: Mapping[str, str]
    deterministic: bool
    parameters: Mapping[str, object]
    seconds: Mapping[str, float]
    measurements: Mapping[str, object]
    not_run: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ClockFacts:
    """The request's legal clock and the run that served it. `extended_until`: the moved due date, if it was moved."""

    submitted_at: datetime
    received_at: datetime
    due_at: datetime
    extended_until: datetime | None
    started_at: datetime
    completed_at: datetime


@dataclass(frozen=True, slots=True)
class ActorFacts:
    """Ids of the keys that filed and approved the request (None: no approval was asked for), and of the worker."""

    submitted_by: str
    approved_by: str | None
    executed_by: str | None


@dataclass(frozen=True, slots=True)
class AuditPin:
    """The newest row of the audit chain when the certificate was signed."""

    seq: int
    hash: str


@dataclass(frozen=True, slots=True)
class Retirement:
    """That the line was taken out of service for good: by which key (or `lethe` itself), when and why."""

    by: str
    at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class ReplicaFacts:
    """An inference replica that Lethe drives, when the certificate was signed.

    `version`: the one that it was last proven to serve, at `proven_at`; None if there is none. `covers`: whether that
    one covers the request.
    """

    id: str
    server: ServerKind
    version: str | None
    proven_at: datetime | None
    covers: bool


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """All that a certificate says. `final` is false while a rebuild may still raise the claim level.

    `acceptance`: that a person let the outcome stand, which falls short; None if nobody had to. `retirement`: that the
    answer is the end of the line; None if the version answers.
    """

    id: str
    issued_at: datetime
    request_id: str
    run_id: str
    client_reference: str | None
    regulation: str | None
    supersedes: str | None
    final: bool
    claim_level: ClaimLevel
    version: VersionFacts
    ledger: LedgerFacts
    method: MethodFacts
    clock: ClockFacts
    actors: ActorFacts
    audit: AuditPin
    remaining_copies: Sequence[RemainingCopy]
    destroyed_copies: Sequence[DestroyedCopy] = ()
    acceptance: Acceptance | None = None
    retirement: Retirement | None = None
    replicas: Sequence[ReplicaFacts] = ()


@dataclass(frozen=True, slots=True)
class RemovedAdapter:
    """A name that was unloaded. `overwritten`: whether zeros were loaded over its weights first; None if unloading
    frees their memory."""

    name: str
    overwritten: bool | None


@dataclass(frozen=True, slots=True)
class SwapFacts:
    """All that a swap receipt says. `distances`: mean absolute differences (nats) of the answers to the probe."""

    id: str
    issued_at: datetime
    target_id: str
    replica_id: str
    server: ServerKind
    version: str
    digest: str
    files: Mapping[str, str]
    desired_at: datetime
    outcome: ProbeOutcome
    distances: Mapping[str, float]
    precision: Precision
    removed: Sequence[RemovedAdapter]
