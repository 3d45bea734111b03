"""Task arithmetic: learn the forgotten even better, and subtract what that changed (arXiv:2212.04089)."""

from dataclasses import dataclass

from torch import Tensor

from workers.bench.cases import Case
from workers.bench.methods.descent import Stream, descend, losses_of
from workers.bench.methods.goals import along


@dataclass(frozen=True, slots=True)
class TaskArithmetic:
    """So many steps on the old contents; the length of the subtraction comes from never-seen data."""

    steps: int = 10
    rate_share: float = 0.2

    def __call__(self, case: Case) -> Tensor:
        line = case.line
        stream = Stream(case.old, case.seed)
        tuned = descend(
            line.resident,
            line.anchor,
            lambda _: losses_of(line.resident, stream.draw(line.recipe.batch_size)).mean(),
            steps=self.steps,
            learning_rate=self.rate_share * line.recipe.learning_rate,
        )
        return along(case, line.anchor - tuned)
