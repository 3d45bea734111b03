"""What a worker hands in to be published: blobs already stored, and what the engine measured."""

from dataclasses import asdict, dataclass

from service.domain.engine import AnchorResult, FoldResult, InfluenceResult
from service.store.digests import Manifest


@dataclass(frozen=True, slots=True)
class StoredTree:
    """A blob prefix and its manifest: relative path to `{sha256, size}`.

    `wrapped_key`: what the files are sealed under; None if they are stored as they are.
    """

    prefix: str
    files: Manifest
    wrapped_key: bytes | None = None


@dataclass(frozen=True, slots=True)
class StagedAnchor:
    """A trained or imported anchor: its adapter and its artefacts."""

    result: AnchorResult
    adapter: StoredTree
    artefacts: StoredTree


@dataclass(frozen=True, slots=True)
class StagedAnswer:
    """An update. `solved_seq`: the ledger head it covers besides the run's own members."""

    result: InfluenceResult
    adapter: StoredTree
    anchor_id: str
    solved_seq: int


@dataclass(frozen=True, slots=True)
class StagedFold:
    """A finished fold: what its adapter predicts for the instances left out."""

    result: FoldResult
    files: StoredTree


def anchor_measurements(result: AnchorResult) -> dict[str, object]:
    """The JSON form of what was measured when an anchor was made."""
    return {
        "before": asdict(result.before),
        "after": asdict(result.after),
        "seconds": dict(result.seconds),
        "peak_bytes": result.peak_bytes,
        "details": dict(result.details),
        "predicted_fidelity": dict(result.predicted_fidelity),
    }


def answer_measurements(result: InfluenceResult) -> dict[str, object]:
    """The JSON form of what was measured after an update."""
    return {
        "before": asdict(result.before),
        "after": asdict(result.after),
        "retained_kl": result.retained_kl,
        "step_scale": result.step_scale,
        "solver_residual": result.solver_residual,
        "grade": result.grade,
        "fidelity": result.fidelity,
        "drift": result.drift,
        "passed": result.passed,
        "reasons": list(result.reasons),
        "seconds": dict(result.seconds),
        "peak_bytes": result.peak_bytes,
        "details": dict(result.details),
        "verified": asdict(result.verified),
    }


def stored_probe(result: AnchorResult | InfluenceResult) -> dict[str, object] | None:
    """The JSON form of a version's probe."""
    return None if result.probe is None else result.probe.model_dump(mode="json")
