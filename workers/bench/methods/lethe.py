"""Lethe's own tiers, each the code that a worker runs."""

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from service.domain.engine import Anchor, Progress
from workers.bench.cases import Case
from workers.engine.solve import SOLVERS
from workers.engine.trajectory import curvatures_after, gradients_along, replay
from workers.engine.update import answer


@dataclass(frozen=True, slots=True)
class Lethe:
    """The whole update: step, teaching, polish, verification. `recorded` is false for what an import without a
    training record would get."""

    recorded: bool = True

    def __call__(self, case: Case) -> Tensor:
        line = case.line
        anchor = Anchor("", line.data, line.recipe, Path(), Path())
        preparation, record = (line.preparation, line.record) if self.recorded else (line.end_point, None)
        weights, _ = answer(line.resident, anchor, preparation, record, case.edits, _ignore)
        return weights


@dataclass(frozen=True, slots=True)
class LetheStep:
    """The solved step alone, as long as calibration says. Removal only: new contents need teaching."""

    recorded: bool = True

    def __call__(self, case: Case) -> Tensor:
        line = case.line
        preparation = line.preparation if self.recorded else line.end_point
        curvatures = curvatures_after(line.resident, preparation.trajectory, case.changes, case.seed)
        gradients = gradients_along(line.resident, preparation.trajectory, case.changes)
        calibration, solver = preparation.calibration, SOLVERS["woodbury"]
        step = replay(preparation.trajectory, curvatures, gradients, multiplier=calibration.multiplier, solver=solver)
        return line.anchor + calibration.amplitude * step.delta


def lethe_vectors(case: Case) -> Tensor:
    """The summed erasure vectors alone, as long as calibration says. Only for removals of whole subjects."""
    line = case.line
    vectors, amplitude = line.record.vectors, line.preparation.calibration.vectors_amplitude
    removed = [change.instance_id for change in case.changes if change.new is None]
    if vectors is None or amplitude is None or case.new:
        raise ValueError("the line has no vectors for this ledger")
    return line.anchor + amplitude * vectors.total(vectors.covering(removed)).to(line.anchor)


def _ignore(progress: Progress) -> None:
    """Nobody watches."""
