"""Lethe's own tiers, each the code that a worker runs."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from service.domain.adapters import UPDATE_BUDGET
from service.domain.engine import Anchor
from workers.bench.cases import Case, Line
from workers.bench.cost import offline
from workers.engine.out_of_fold import OutOfFold, missing_folds, train_fold
from workers.engine.request import read_request
from workers.engine.training import fingerprint
from workers.engine.update import solve


@dataclass(frozen=True, slots=True)
class Lethe:
    """The update without its verification, which no other method has.

    `recorded` is false for what an import without a training record would get. `partitions` of the data are left
    out in turn by adapters that idle workers train, so that their cost is not a request's. `budget` is the share of
    the training's cost that an update may take.
    """

    recorded: bool = True
    partitions: tuple[int, ...] = ()
    budget: float = UPDATE_BUDGET

    def __call__(self, case: Case) -> Tensor:
        line = case.line
        with offline():
            gone = {change.instance_id for change in case.changes if change.new is None}
            folds = out_of_fold_of(line, self.partitions, gone) if self.partitions else None
        anchor = Anchor("", line.data, line.recipe, Path(), Path())
        preparation, record = (line.preparation, line.record) if self.recorded else (line.end_point, None)
        line.resident.parameters.set(line.anchor)
        request = read_request(line.resident, anchor, record, case.edits)
        solved = solve(line.resident, anchor, preparation, record, request, folds, budget=self.budget)
        return solved.parameters


def lethe_vectors(case: Case) -> Tensor:
    """The summed erasure vectors alone, as long as calibration says. Only for removals of whole subjects."""
    line = case.line
    vectors, amplitude = line.record.vectors, line.preparation.calibration.vectors_amplitude
    removed = [change.instance_id for change in case.changes if change.new is None]
    if vectors is None or amplitude is None or case.new:
        raise ValueError("the line has no vectors for this ledger")
    return line.anchor + amplitude * vectors.total(vectors.covering(removed)).to(line.anchor)


def out_of_fold_of(line: Line, partitions: tuple[int, ...], ids: Collection[str]) -> OutOfFold:
    """The instances' out-of-fold predictions; of the folds that hold one, those that are missing are trained, and
    kept. Idle workers would train all."""
    mark = fingerprint(line.resident, line.data, line.recipe, line.tokens)
    directory = line.place / "out_of_fold"
    for fold in missing_folds(line.data, [directory], mark, partitions):
        if fold.members.isdisjoint(ids):
            continue
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
