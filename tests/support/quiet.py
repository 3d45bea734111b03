"""What trainings and updates make when nothing disturbs them: the engine in the test's own process.

A rebuild depends on its training set and recipe alone, an answer on its anchor and the ledger. So whatever a
deployment went through, its adapters are the very bytes that are made here.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from service.domain.adapters import Recipe
from service.domain.engine import Anchor, AnchorResult, InfluenceJob, InfluenceResult, Job, TrainingSet, TrainJob
from service.domain.ledger import Edit, canonical
from workers.engine.engine import Engine

WEIGHTS = "adapter_model.safetensors"


class Quiet:
    """Makes each thing once. `directory`: where."""

    def __init__(self, directory: Path) -> None:
        self._directory, self._engine = directory, Engine(device="cpu")
        self._made: dict[object, Path] = {}

    def anchor(self, data: TrainingSet, recipe: Recipe) -> str:
        """The SHA-256 of the weights that training makes."""
        return _digest(self._train(data, recipe))

    def answer(self, data: TrainingSet, recipe: Recipe, edits: Sequence[Edit], *, budget: float) -> str:
        """The SHA-256 of the weights that solving a ledger on the anchor of `data` makes."""
        trained, key = self._train(data, recipe), (data, recipe, canonical(edits), budget)
        if key not in self._made:
            anchor = Anchor(trained.name, data, recipe, trained / "adapter", trained / "anchor")
            out = self._directory / f"{len(self._made)}"
            self._run(InfluenceJob(anchor, canonical(edits), out, budget), InfluenceResult)
            self._made[key] = out
        return _digest(self._made[key])

    def _train(self, data: TrainingSet, recipe: Recipe) -> Path:
        key = (data, recipe)
        if key not in self._made:
            out = self._directory / f"{len(self._made)}"
            self._run(TrainJob(data, recipe, out), AnchorResult)
            self._made[key] = out
        return self._made[key]

    def _run(self, job: Job, expected: type) -> None:
        result = self._engine.run(job, progress=lambda _: None, should_yield=lambda: False)
        assert isinstance(result, expected)


def _digest(out: Path) -> str:
    return hashlib.sha256((out / "adapter" / WEIGHTS).read_bytes()).hexdigest()
