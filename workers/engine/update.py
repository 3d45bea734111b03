"""The answer to a ledger: always solved from the anchor, always for the whole canonical ledger.

Nothing here depends on the order in which requests arrived or on earlier answers: changes are sorted,
and every random draw is seeded by the ledger's digest.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from service.domain.engine import Anchor, Grade, InfluenceResult, Stage
from service.domain.ledger import Edit
from service.domain.measurements import Verified
from workers.engine.amplitude import largest_amplitude
from workers.engine.approach import STEP_COST, Approached, approach
from workers.engine.evaluation import adapter_losses
from workers.engine.fidelity import measured_fidelity
from workers.engine.mend import BATCH, MEND_COST, MOST, mend
from workers.engine.metrics.report import Yardstick, report
from workers.engine.out_of_fold import OutOfFold
from workers.engine.predictions import shift
from workers.engine.preparation import Preparation
from workers.engine.record import TrainingRecord
from workers.engine.request import Request, read_request
from workers.engine.resident import Resident
from workers.engine.stages import ProgressCallback, Stages
from workers.engine.targets import TARGET_COST, Aims, aims_of
from workers.engine.teachers import Teachers
from workers.engine.verify import Baseline, Verification, baseline, goal_of, verify

# Of the retained that are measured, the ones that the trust region looks at again and again.
TRUST_SAMPLE = 48
# Steps have diminishing returns beyond the most, and do not arrive anywhere below the fewest.
FEWEST_STEPS, FEWEST_STEPS_TO_TEACH, MOST_STEPS = 4, 9, 12
# Where the way of the removed ends, as a share of it, and how much further than the steps they may be taken.
END_OF_WAY, MOST_STRETCH = 0.95, 1.3
# Instances that the change is measured on, and how much of it is harmless, as a share of the KL budget.
HARMLESS_SAMPLE, HARMLESS_SHARE = 12, 0.2
# Gradients of one instance that its two forward passes are.
STRETCH_COST = 2 / 3
# What an anchor without a recipe is taken to have been trained with.
ASSUMED_EPOCHS = 3


@dataclass(frozen=True, slots=True)
class Solved:
    """New weights [p], how much further they are than where the steps ended, and by which grade of preparation."""

    parameters: Tensor
    stretch: float
    approached: Approached
    grade: Grade


def answer(
    resident: Resident,
    anchor: Anchor,
    preparation: Preparation,
    record: TrainingRecord | None,
    edits: Sequence[Edit],
    progress: ProgressCallback,
    *,
    budget: float,
) -> tuple[Tensor, InfluenceResult]:
    """New weights [p] for the whole ledger, solved from the anchor's weights, which `resident` holds.

    Memory: the preparation, one solve, 16p bytes a step. Never O(p²), never O(n·p).

    Raises:
        EngineRefusal: `unknown_instance` if the ledger names an instance the anchor was not trained on.
    """
    stages = Stages(progress)
    start = resident.parameters.get()
    with stages(Stage.gradients):
        request = read_request(resident, anchor, record, edits)
        folds = out_of_fold(resident, anchor)
    with stages(Stage.solving):
        solved = solve(resident, anchor, preparation, record, request, folds, budget=budget)
    with stages(Stage.verifying):
        before = baseline(resident, request.measured, start)
        goal = goal_of(before, preparation.never_seen)
        after, scale, verdict = _within_budget(resident, preparation, request, goal, before, solved.parameters)
        verdict = replace(verdict, verified=_report(resident, preparation, request, verdict, after))
        fidelity = measured_fidelity(resident, request.removed, folds, after)
    result = InfluenceResult(
        before=verdict.before,
        after=verdict.after,
        retained_kl=verdict.retained_kl,
        step_scale=scale * solved.stretch,
        solver_residual=solved.approached.residual,
        passed=verdict.passed,
        reasons=verdict.reasons,
        seconds=stages.seconds,
        peak_bytes=0,
        grade=solved.grade,
        fidelity=fidelity,
        drift=drift(verdict, goal, _noise(preparation, request)),
        details=_details(preparation, solved),
        verified=verdict.verified,
    )
    return after, result


def solve(
    resident: Resident,
    anchor: Anchor,
    preparation: Preparation,
    record: TrainingRecord | None,
    request: Request,
    folds: OutOfFold | None,
    *,
    budget: float,
) -> Solved:
    """Targets, steps towards them, and what is left mends what they disturbed, for at most `budget` of what training
    cost; from the weights in `resident`."""
    start = resident.parameters.get()
    teachers = Teachers.of(start, preparation.calibration, record, request.changes, folds)
    aims = aims_of(resident, preparation, teachers, request.changes, start)
    curvature = preparation.sketch.after(resident, request.changes, start, request.seed)
    steps = affordable_steps(anchor, aims, budget)
    approached = approach(resident, aims.every, curvature, start, steps=steps, retained=request.retained)
    stretch = _stretch(resident, preparation, request, aims, start, approached.parameters)
    parameters = mend(
        resident,
        request.others,
        curvature.damping,
        preparation.training_level,
        start + stretch * (approached.parameters - start),
        steps=affordable_mending(anchor, aims, budget, steps),
    )
    return Solved(parameters, stretch, approached, teachers.grade(request.removed))


def _stretch(
    resident: Resident, preparation: Preparation, request: Request, aims: Aims, start: Tensor, end: Tensor
) -> float:
    """How much further in the same direction the removed reach the end of their way, by a secant; at least 1.

    So few steps stop short, and along the same line what stays changes least; but only as far as the change
    measured in it, which grows with the square, is harmless. Costs the removed two forward passes, and 12
    retained instances two.
    """
    if not aims.removed or aims.never_seen is None or aims.before is None:
        return 1.0
    sample = request.measured.retained[:HARMLESS_SAMPLE]
    changed = shift(resident, sample, start, end).divergence if sample else 0.0
    most = MOST_STRETCH if changed <= 0 else math.sqrt(HARMLESS_SHARE * preparation.kl_budget / changed)
    most = min(MOST_STRETCH, most)
    if most <= 1.0:
        return 1.0
    goal = aims.before + END_OF_WAY * (aims.never_seen - aims.before)
    losses = []
    for scale in (1.0, most):
        resident.parameters.set(start + scale * (end - start))
        losses.append(float(adapter_losses(resident, aims.removed).mean()))
    here, there = losses
    if here >= goal or there <= here:
        return 1.0
    return 1.0 + (most - 1.0) * min(1.0, (goal - here) / (there - here))


def affordable_steps(anchor: Anchor, aims: Aims, budget: float) -> int:
    """How many steps towards the aims fit a share of the training's cost, targets included."""
    fewest = FEWEST_STEPS_TO_TEACH if aims.taught else FEWEST_STEPS
    # Where the steps start costs a gradient too.
    affordable = int(_after_targets(anchor, aims, budget) / (STEP_COST * max(1, len(aims.every)))) - 1
    return max(fewest, min(MOST_STEPS, affordable))


def affordable_mending(anchor: Anchor, aims: Aims, budget: float, steps: int) -> int:
    """How many steps of mending fit what so many steps towards the aims leave of the budget."""
    left = _after_targets(anchor, aims, budget) - STEP_COST * len(aims.every) * (steps + 1)
    return max(0, min(MOST, int(left / (MEND_COST * BATCH))))


def _after_targets(anchor: Anchor, aims: Aims, budget: float) -> float:
    """The budget in gradients of one instance, less what targets and the stretch cost."""
    epochs = anchor.recipe.epochs if anchor.recipe else ASSUMED_EPOCHS
    afterwards = STRETCH_COST * (len(aims.removed) + HARMLESS_SAMPLE)
    return budget * epochs * len(anchor.data.examples) - TARGET_COST * len(aims.forgotten) - afterwards


def out_of_fold(resident: Resident, anchor: Anchor) -> OutOfFold | None:
    """What the anchor's folds predict; None without any."""
    if not anchor.out_of_fold:
        return None
    return OutOfFold.load(anchor.out_of_fold, None, resident.base.model.config.get_text_config().vocab_size)


def drift(verdict: Verification, goal: float | None, noise: float) -> float | None:
    """|measured − predicted| / predicted change of the removed instances' mean loss.

    None without a prediction, and where it is within the noise of never-seen losses: there is nothing to drift from.
    """
    before, after = verdict.before.forget, verdict.after.forget
    if goal is None or before is None or after is None or goal - before <= noise:
        return None
    predicted = END_OF_WAY * (goal - before)
    return abs(after - before - predicted) / predicted


def _within_budget(
    resident: Resident,
    preparation: Preparation,
    request: Request,
    goal: float | None,
    before: Baseline,
    after: Tensor,
) -> tuple[Tensor, float, Verification]:
    """The trust region: as far from `before` to `after` as the measured change in what stays allows; that share of
    the way, and the verdict there."""
    start, retained = before.weights, request.measured.retained[:TRUST_SAMPLE]

    def judged(weights: Tensor) -> Verification:
        return verify(
            resident,
            request.measured,
            before,
            weights,
            goal=goal,
            noise=_noise(preparation, request),
            never_seen=preparation.never_seen,
            training_level=preparation.training_level,
        )

    verdict = judged(after)
    if not retained or verdict.retained_kl <= preparation.kl_budget:
        return after, 1.0, verdict

    def divergence(scale: float) -> float:
        return shift(resident, retained, start, start + scale * (after - start)).divergence

    scale = largest_amplitude(divergence, preparation.kl_budget, 1.0)
    nearer = start + scale * (after - start)
    return nearer, scale, judged(nearer)


def _report(
    resident: Resident, preparation: Preparation, request: Request, verdict: Verification, after: Tensor
) -> Verified:
    yardstick = Yardstick(preparation.never_seen, preparation.training_level, preparation.kl_budget)
    return report(resident, request.measured, verdict.observed, request.texts, yardstick, after)


def _noise(preparation: Preparation, request: Request) -> float:
    """The standard error of the mean loss of as many never-seen instances as are removed; without any, it is endless:
    the bare base's losses are something to aim at, and no prediction."""
    level = preparation.never_seen
    return level.deviation / math.sqrt(max(1, len(request.measured.forget))) if level else math.inf


def _details(preparation: Preparation, solved: Solved) -> Mapping[str, object]:
    found = solved.approached
    return {
        "calibrated": preparation.calibration.measured,
        "share_left": preparation.calibration.share_left,
        "vectors_amplitude": preparation.calibration.vectors_amplitude,
        "steps": found.steps,
        "stretch": solved.stretch,
        "objective_before": found.before,
        "objective_after": found.after,
        "predicted_change": found.predicted_change,
    }
