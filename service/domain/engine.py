"""The border between the request life cycle and the engine: jobs in, progress and results out.

The supervisor builds a job from the database, sends it to the engine child over a pipe, and stages
what the child wrote below the job's `out` directory. Everything here pickles and holds no tensors.

Files the engine writes below `out`:

    adapter/            the new version: adapter_model.safetensors, adapter_config.json
    anchor/             only for jobs that make an anchor: the training record, checkpoints and curvature
    fold/               only for jobs that train a fold: what its adapter predicts for the instances left out
    checkpoint/         only for what yielded: where it goes on
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TypeAlias

from service.domain.adapters import UPDATE_BUDGET, Recipe, TrainingFormat
from service.domain.instances import Content
from service.domain.ledger import Edit
from service.domain.measurements import Verified
from service.domain.probes import Probe


@dataclass(frozen=True, slots=True)
class Example:
    """An instance as the engine sees it: an opaque id, the text, and the opaque subjects it speaks of, if known."""

    id: str
    content: Content
    subject: str | None = None


@dataclass(frozen=True, slots=True)
class Base:
    """A base model on the worker's disk and the digest that pins it (None: not yet known)."""

    path: str
    revision: str | None
    digest: str | None


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """Everything that determines a deterministic training run, but for the recipe.

    `slots` gives every example its position in the original data order. A retrain without some
    instances leaves their slots empty, so the others keep their batches and their order.
    `holdout` is never trained on.
    """

    base: Base
    format: TrainingFormat
    examples: tuple[Example, ...]
    slots: tuple[int, ...]
    slot_count: int
    holdout: tuple[Example, ...]


@dataclass(frozen=True, slots=True)
class Anchor:
    """A version that was really trained, with what the engine prepared for it.

    `key` identifies it for residency: the child keeps an anchor's tensors between jobs under this key.
    `out_of_fold` are directories with the predictions of finished folds.
    """

    key: str
    data: TrainingSet
    recipe: Recipe | None
    adapter: Path
    artefacts: Path
    out_of_fold: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Published:
    """A version that was published before: its name, `support-bot@v2`, and its adapter's directory."""

    name: str
    adapter: Path


@dataclass(frozen=True, slots=True)
class TrainJob:
    """Train a LoRA adapter from nothing and prepare its curvature. A rebuild is the same job without the data.

    `replaces`, here and below: versions that an inference server may still use, newest first. By its answers they
    are to be told from the new one.
    """

    data: TrainingSet
    recipe: Recipe
    out: Path
    resume: Path | None = None
    replaces: tuple[Published, ...] = ()


@dataclass(frozen=True, slots=True)
class ImportJob:
    """Take over an adapter trained elsewhere: reproduce its training loss, then prepare its curvature.

    `record` is a directory with a training record in Lethe's layout, or None. `expected_losses` gives
    per-instance losses that the importer claims, if any. `trusted` skips the loss check: a collapse
    takes over an adapter that an update has already moved away from its training loss.
    """

    data: TrainingSet
    adapter: Path
    record: Path | None
    recipe: Recipe | None
    expected_losses: Mapping[str, float] | None
    out: Path
    trusted: bool = False
    replaces: tuple[Published, ...] = ()


@dataclass(frozen=True, slots=True)
class InfluenceJob:
    """Solve for the canonical ledger from the anchor, for at most `budget` of what its training cost."""

    anchor: Anchor
    edits: tuple[Edit, ...]
    out: Path
    budget: float = UPDATE_BUDGET
    replaces: tuple[Published, ...] = ()


@dataclass(frozen=True, slots=True)
class OutOfFoldJob:
    """Train an adapter without the first fold that is missing, and keep what it predicts for that fold.

    `done` are directories with the predictions of finished folds. With the last fold comes the `anchor`: once all
    are there, updates of it are tried for what is to be expected of them, at most at `budget` of its training's cost.
    """

    data: TrainingSet
    recipe: Recipe
    done: tuple[Path, ...]
    out: Path
    resume: Path | None = None
    anchor: Anchor | None = None
    budget: float = UPDATE_BUDGET


Job: TypeAlias = TrainJob | ImportJob | InfluenceJob | OutOfFoldJob


class Stage(StrEnum):
    loading = "loading"
    training = "training"
    checking = "checking"
    preparing = "preparing"
    gradients = "gradients"
    solving = "solving"
    verifying = "verifying"
    exporting = "exporting"
    probing = "probing"
    publishing = "publishing"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is: `done` of `total` units of the present stage."""

    stage: Stage
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Losses:
    """Mean loss per instance (nats per token) of one adapter on the four groups; None where the group is empty."""

    forget: float | None
    corrected: float | None
    retained: float | None
    holdout: float | None


@dataclass(frozen=True, slots=True)
class Capability:
    """Whether a line supports a strategy or claim, and why not if not."""

    name: str
    supported: bool
    reason: str | None = None


class Grade(StrEnum):
    """How well a line is prepared for influence updates, the plainest first. The names are those of capabilities."""

    end_point = "end-point"
    trajectory = "trajectory"
    out_of_fold = "out-of-fold"


def out_of_fold_capability(done: int, total: int) -> Capability:
    """Whether updates can be drawn to out-of-fold predictions: once all folds are done."""
    if done >= total:
        return Capability(Grade.out_of_fold, True)
    wish = "idle workers train them if the policy's out_of_fold says so."
    return Capability(Grade.out_of_fold, False, f"{done} of {total} folds are done; {wish}")


@dataclass(frozen=True, slots=True)
class AnchorResult:
    """A trained or imported anchor. `seconds` per stage; `train_seconds` feeds the rebuild estimate.

    `predicted_fidelity`: the fidelity that an update of each grade is expected to have on this line, as far as known.
    """

    base_digest: str
    before: Losses
    after: Losses
    capabilities: tuple[Capability, ...]
    seconds: Mapping[str, float]
    peak_bytes: int
    details: Mapping[str, object] = field(default_factory=dict)
    predicted_fidelity: Mapping[str, float] = field(default_factory=dict)
    probe: Probe | None = None


@dataclass(frozen=True, slots=True)
class InfluenceResult:
    """An update solved from the anchor: what was measured before (`anchor`) and after.

    `fidelity`: KL from out-of-fold predictions on the forgotten instances, in units of the KL between two
    leave-group-out adapters; 1 is as close as another retrain, None where there are no two to compare.
    `drift`: |measured - predicted| / predicted, of the change of the forgotten instances' mean loss by the whole
    ledger; None where nothing was removed. `verified`: every metric with its interval and outcome, and what the
    verdict is worth. `probe`: how to tell by a server's answers whether it uses the new version; None until that is
    exported.
    """

    before: Losses
    after: Losses
    retained_kl: float
    step_scale: float
    solver_residual: float
    passed: bool | None
    reasons: tuple[str, ...]
    seconds: Mapping[str, float]
    peak_bytes: int
    details: Mapping[str, object] = field(default_factory=dict)
    grade: str = Grade.end_point
    fidelity: float | None = None
    drift: float | None = None
    verified: Verified = field(default_factory=Verified)
    probe: Probe | None = None


@dataclass(frozen=True, slots=True)
class FoldResult:
    """A finished fold's name, and how many are still to be trained. `seconds` per stage.

    The last fold's result carries the fidelity that an update of each grade is expected to have on this line.
    """

    fold: str
    remaining: int
    seconds: Mapping[str, float]
    peak_bytes: int
    predicted_fidelity: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Yielded:
    """A training job stopped at a checkpoint so that another run can have the device."""

    step: int


class FailureClass(StrEnum):
    """`transient` is retried, `resource` and `fatal_device` in a fresh child; `permanent` is not."""

    transient = "transient"
    resource = "resource"
    fatal_device = "fatal_device"
    permanent = "permanent"


@dataclass(frozen=True, slots=True)
class EngineFailure:
    """A job that ended without a result. `detail` carries no training text."""

    kind: FailureClass
    code: str
    detail: str


Result: TypeAlias = AnchorResult | InfluenceResult | FoldResult | Yielded | EngineFailure
