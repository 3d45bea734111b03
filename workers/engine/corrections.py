"""Teaching an edited instance's new content without disturbing the rest: a few relinearised solves.

The new side of an edit is far from linear: its loss has to fall from the level of never-seen text to that
of training data. Each step solves C x = ∇ℓ(new) afresh at the present weights. C holds the retained
instances' curvature, so x avoids the directions that they depend on.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from workers.engine.curvature import Curvature
from workers.engine.evaluation import adapter_losses
from workers.engine.gradients import weighted_gradient
from workers.engine.resident import Resident
from workers.engine.right_hand_side import dropout_off
from workers.engine.solve import Solver
from workers.engine.tokens import Tokens

MAX_STEPS = 8
# Part of the missing loss change that one step asks for: the linear model holds about that far.
STEP_SHARE = 0.4
# A loss counts as there when it is within this part of where it started.
TOLERANCE = 0.05
# A step must bring this part of what the linear model predicts, or it is halved, at most twice.
LEAST_RATIO = 0.25
MAX_HALVINGS = 2


@dataclass(frozen=True, slots=True)
class Taught:
    """The weights [p] afterwards, the steps taken, and each step's actual over predicted loss change."""

    parameters: Tensor
    steps: int
    ratios: tuple[float, ...]


def teach(
    resident: Resident,
    curvature: Curvature | None,
    start: Tensor,
    contents: Sequence[Tokens],
    level: float,
    *,
    solver: Solver,
    max_steps: int = MAX_STEPS,
) -> Taught:
    """Lowers each content's loss to `level`; contents at or below it are left alone.

    `curvature` may be None where there is nothing to teach.

    A step costs each content a gradient and up to three forward passes, and one solve. Memory: one solve and 8p bytes.
    """
    if not contents or curvature is None:
        return Taught(start, 0, ())
    resident.parameters.set(start)
    losses = adapter_losses(resident, contents)
    tolerance = TOLERANCE * float((losses - level).clamp(min=0).max())
    present, ratios = start, list[float]()
    for _ in range(max_steps):
        missing = (losses - level).clamp(min=0)
        if float(missing.max()) <= tolerance:
            break
        active = (missing > tolerance).float()
        with dropout_off(resident.model):
            gradient = weighted_gradient(resident, contents, active.tolist())
        direction = solver(curvature, gradient).x
        predicted = STEP_SHARE * float(missing @ active)
        step = direction * (predicted / float(gradient @ direction))
        before = float(losses @ active)
        for _ in range(MAX_HALVINGS + 1):
            resident.parameters.set(present - step)
            losses = adapter_losses(resident, contents)
            ratio = (before - float(losses @ active)) / predicted
            if ratio >= LEAST_RATIO:
                break
            step, predicted = step / 2, predicted / 2
        present = resident.parameters.get()
        ratios.append(ratio)
    return Taught(present, len(ratios), tuple(ratios))
