"""Lethe's out-of-fold grade: steps towards what adapters that never saw the forgotten predict.

Those adapters are trained when workers are idle, so their cost is not a request's.
"""

from dataclasses import dataclass

from torch import Tensor

from workers.bench.cases import Case, Line
from workers.bench.cost import offline
from workers.engine.distil import LEARNING_RATE_SHARE, Lesson, distil
from workers.engine.out_of_fold import OutOfFold, missing_folds, train_fold
from workers.engine.training import fingerprint


@dataclass(frozen=True, slots=True)
class LetheOutOfFold:
    """`steps` of distillation from the anchor, to the geometric mean over partitions of so many folds."""

    steps: int = 20
    partitions: tuple[int, ...] = (10,)

    def __call__(self, case: Case) -> Tensor:
        line = case.line
        with offline():
            predictions = out_of_fold_of(line, self.partitions)
        removed = [change for change in case.changes if change.new is None]
        lesson = Lesson(
            forgotten=[change.old for change in removed],
            targets=predictions.targets([change.instance_id for change in removed]),
            taught=case.new,
            level=line.preparation.training_level,
            retained=case.retained,
            anchor=line.anchor,
        )
        return distil(
            line.resident,
            lesson,
            start=line.anchor,
            second_moments=None,
            steps=self.steps,
            learning_rate=LEARNING_RATE_SHARE * line.recipe.learning_rate,
            seed=case.seed,
        )


def out_of_fold_of(line: Line, partitions: tuple[int, ...]) -> OutOfFold:
    """Every training instance's out-of-fold predictions; folds that are missing are trained, and kept."""
    mark = fingerprint(line.resident, line.data, line.recipe, line.tokens)
    directory = line.place / "out_of_fold"
    for fold in missing_folds(line.data, [directory], mark, partitions):
        train_fold(
            line.resident,
            line.data,
            line.recipe,
            line.tokens,
            fold,
            directory,
            checkpoint=directory / f"{fold.name}.run",
            progress=lambda progress: None,
            should_yield=lambda: False,
        )
    line.resident.parameters.set(line.anchor)
    return OutOfFold.load([directory], mark, len(line.resident.tokenizer))
