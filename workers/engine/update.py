"""The answer to a ledger: always solved from the anchor, always for the whole canonical ledger.

Nothing here depends on the order in which requests arrived or on earlier answers: changes are sorted,
and every random draw is seeded by the ledger's digest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from service.domain import ledger
from service.domain.engine import Anchor, Example, InfluenceResult, Stage
from service.domain.ledger import Edit
from workers.engine.corrections import MAX_STEPS, Taught, teach
from workers.engine.curvature import Curvature
from workers.engine.errors import EngineRefusal
from workers.engine.forgetting import Forgetting
from workers.engine.polish import Contents, affordable_steps, polish
from workers.engine.preparation import Preparation
from workers.engine.record import TrainingRecord
from workers.engine.resident import Resident
from workers.engine.right_hand_side import Change, canonical_changes, instance_weights
from workers.engine.solve import SOLVERS, Solver
from workers.engine.stages import ProgressCallback, Stages
from workers.engine.tokens import Tokens, encode
from workers.engine.trajectory import Step, Trajectory, curvatures_after, gradients_along, replay
from workers.engine.verify import Groups, verify

# Random samples of what stays: to polish on, and to measure on.
POLISH_SAMPLE = 1024
MEASURE_SAMPLE = 96
# Of the measured retained instances, those that the trust region looks at again and again.
TRUST_SAMPLE = 48
# Teaching may cost this share of the training run, however many corrections there are.
TEACHING_SHARE = 0.05
# The polish may cost this share of the training run, and at most two passes over the data.
POLISH_SHARE = 0.10
POLISH_EPOCHS = 2.0
# What an anchor without a recipe is taken to have been trained with.
ASSUMED_EPOCHS = 3
ASSUMED_LEARNING_RATE = 2e-4
# The polish starts at this share of the training run's peak learning rate.
LEARNING_RATE_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class Request:
    """The ledger in tokens, and seeded samples of what it leaves alone."""

    changes: tuple[Change, ...]
    retained: tuple[Tokens, ...]
    measured: Groups
    seed: int

    @property
    def removed(self) -> tuple[Tokens, ...]:
        return tuple(change.old for change in self.changes if change.new is None)

    @property
    def forgetting(self) -> list[Change]:
        """The old side of every change; the new side is too far from linear to be solved for in one step."""
        return [Change(change.instance_id, change.weight, change.old, None) for change in self.changes]

    @property
    def new(self) -> tuple[Tokens, ...]:
        return tuple(change.new for change in self.changes if change.new is not None)


def answer(
    resident: Resident,
    anchor: Anchor,
    preparation: Preparation,
    record: TrainingRecord | None,
    edits: Sequence[Edit],
    progress: ProgressCallback,
) -> tuple[Tensor, InfluenceResult]:
    """New weights [p] for the whole ledger, solved from the anchor's weights, which `resident` holds.

    Memory: the preparation; 4p bytes a segment (right-hand sides); 4p a segment for each of up to 64
    new contents (their rows); one solve; 24p bytes of polish. Never O(p²), never O(n·p).

    Raises:
        EngineRefusal: `unknown_instance` if the ledger names an instance the anchor was not trained on.
    """
    stages = Stages(progress)
    start = resident.parameters.get()
    solver = SOLVERS["woodbury"]
    with stages(Stage.gradients):
        request = read_request(resident, anchor, record, edits)
        measured = request.measured.retained[:TRUST_SAMPLE]
        removed = request.removed[:: len(request.removed) // TRUST_SAMPLE + 1]
        recalled = recall(preparation, record, request)
        if recalled.subjects:
            trial = Forgetting.plan(resident, preparation, removed, measured, start, recalled.delta.to(start))
            # Many vectors together leave the region they were linearised in; a solve against all data does better.
            if not trial.starts_within_budget(resident):
                recalled = Recalled.nothing(request)
            resident.parameters.set(start)
        system = linearise(resident, preparation.trajectory, request, recalled.rest)
    with stages(Stage.solving):
        step = system.solve(preparation, solver) if system else Step(torch.zeros_like(start), 0.0)
        step = replace(step, delta=step.delta + recalled.delta.to(start))
        forgetting = Forgetting.plan(resident, preparation, removed, measured, start, step.delta)
        amplitude = forgetting.start(resident)
        taught = teach(
            resident,
            system.curvatures[-1].damped(preparation.calibration.multiplier) if system else None,
            start + amplitude * step.delta,
            request.new,
            preparation.training_level,
            solver=solver,
            max_steps=teaching_steps(anchor, len(request.new)),
        )
    with stages(Stage.polishing):
        steps = affordable_steps(polish_budget(anchor))
        polished = polish(
            resident,
            Contents(request.retained, request.removed, request.new, preparation.training_level),
            start=taught.parameters,
            teacher=start + forgetting.teacher(resident) * step.delta,
            steps=steps,
            learning_rate=polish_learning_rate(anchor, record),
            seed=request.seed,
        )
        settled = forgetting.settle(resident, polished)
        after = polished + settled * step.delta
    with stages(Stage.verifying):
        verdict = verify(
            resident,
            request.measured,
            start,
            after,
            goal=forgetting.goal,
            never_seen=preparation.never_seen,
            training_level=preparation.training_level,
        )
    result = InfluenceResult(
        before=verdict.before,
        after=verdict.after,
        retained_kl=verdict.retained_kl,
        step_scale=amplitude + settled,
        solver_residual=step.residual,
        passed=verdict.passed,
        reasons=verdict.reasons,
        seconds=stages.seconds,
        peak_bytes=0,
        details=_details(preparation, recalled, forgetting, taught, steps),
    )
    return after, result


@dataclass(frozen=True, slots=True)
class Recalled:
    """δ [p] of the subjects that go as a whole and have an erasure vector, how many, and the changes that are left."""

    delta: Tensor
    subjects: int
    rest: list[Change]

    @classmethod
    def nothing(cls, request: Request) -> "Recalled":
        return cls(torch.zeros(()), 0, request.forgetting)


def recall(preparation: Preparation, record: TrainingRecord | None, request: Request) -> Recalled:
    """Sums erasure vectors, in units of the calibrated amplitude of a solved step, so that both add up."""
    amplitude = preparation.calibration.vectors_amplitude
    if record is None or record.vectors is None or amplitude is None:
        return Recalled.nothing(request)
    vectors = record.vectors
    removed = [change.instance_id for change in request.changes if change.new is None]
    whole = vectors.covering(removed)
    if not whole:
        return Recalled.nothing(request)
    rest = [change for change in request.forgetting if vectors.subjects.get(change.instance_id) not in whole]
    return Recalled(amplitude / preparation.calibration.amplitude * vectors.total(whole), len(whole), rest)


@dataclass(frozen=True, slots=True)
class System:
    """The linear systems along the trajectory, C δ = b + D δ."""

    trajectory: Trajectory
    curvatures: list[Curvature]
    gradients: list[Tensor]

    def solve(self, preparation: Preparation, solver: Solver) -> Step:
        multiplier = preparation.calibration.multiplier
        return replay(self.trajectory, self.curvatures, self.gradients, multiplier=multiplier, solver=solver)


def linearise(resident: Resident, trajectory: Trajectory, request: Request, forgetting: list[Change]) -> System | None:
    """Curvatures after the whole ledger, right-hand sides of the changes to solve for; None if there is nothing to."""
    if not forgetting:
        return None
    curvatures = curvatures_after(resident, trajectory, request.changes, request.seed)
    return System(trajectory, curvatures, gradients_along(resident, trajectory, forgetting))


def read_request(resident: Resident, anchor: Anchor, record: TrainingRecord | None, edits: Sequence[Edit]) -> Request:
    """Encodes the canonical ledger and the samples of what it leaves alone."""
    canonical = ledger.canonical(edits)
    examples = {example.id: example for example in anchor.data.examples}
    unknown = [edit.instance_id for edit in canonical if edit.instance_id not in examples]
    if unknown:
        raise EngineRefusal("unknown_instance", f"The anchor was not trained on {len(unknown)} of the instances.")

    def tokens(chosen: Sequence[Example]) -> list[Tokens]:
        return [encode(resident.tokenizer, example.content, anchor.data.format) for example in chosen]

    old = dict(
        zip(
            (edit.instance_id for edit in canonical),
            tokens([examples[edit.instance_id] for edit in canonical]),
            strict=True,
        )
    )
    new = {
        edit.instance_id: None if edit.new is None else encode(resident.tokenizer, edit.new, anchor.data.format)
        for edit in canonical
    }
    changes = canonical_changes(new, old, instance_weights(list(examples), record))
    seed = int(ledger.digest(canonical)[:15], 16)
    kept = [examples[name] for name in sorted(examples.keys() - old.keys())]
    order = torch.randperm(len(kept), generator=torch.Generator().manual_seed(seed)).tolist()
    retained = tokens([kept[index] for index in order[:POLISH_SAMPLE]])
    measured = Groups(
        forget=[change.old for change in changes if change.new is None],
        corrected=[change.new for change in changes if change.new is not None],
        # From the other end, so that what is measured was not polished on wherever there is enough data.
        retained=tokens([kept[index] for index in order[-MEASURE_SAMPLE:]]),
        holdout=tokens(anchor.data.holdout[:MEASURE_SAMPLE]),
    )
    return Request(changes, tuple(retained), measured, seed)


def teaching_steps(anchor: Anchor, contents: int) -> int:
    """How many teaching steps are affordable, at least one; a step costs each content a gradient and its losses."""
    affordable = TEACHING_SHARE * _epochs(anchor) * len(anchor.data.examples) / (2 * max(1, contents))
    return max(1, min(MAX_STEPS, int(affordable)))


def polish_budget(anchor: Anchor) -> float:
    """Instance gradients that the polish may take; without a recipe there is no training cost to take a share of."""
    epochs = min(POLISH_SHARE * anchor.recipe.epochs, POLISH_EPOCHS) if anchor.recipe else POLISH_EPOCHS
    return len(anchor.data.examples) * epochs


def _epochs(anchor: Anchor) -> int:
    return anchor.recipe.epochs if anchor.recipe else ASSUMED_EPOCHS


def polish_learning_rate(anchor: Anchor, record: TrainingRecord | None) -> float:
    """Where the polish starts: a share of the peak that the anchor was trained with."""
    if record is not None:
        return LEARNING_RATE_SHARE * max(record.learning_rates)
    return LEARNING_RATE_SHARE * (anchor.recipe.learning_rate if anchor.recipe else ASSUMED_LEARNING_RATE)


def _details(
    preparation: Preparation, recalled: Recalled, forgetting: Forgetting, taught: Taught, steps: int
) -> Mapping[str, object]:
    return {
        "erasure_vectors": recalled.subjects,
        "forget_goal": forgetting.goal,
        "calibrated_amplitude": preparation.calibration.amplitude,
        "damping_multiplier": preparation.calibration.multiplier,
        "calibrated": preparation.calibration.measured,
        "segments": len(preparation.trajectory.segments),
        "teaching_steps": taught.steps,
        "teaching_ratios": taught.ratios,
        "polish_steps": steps,
    }
