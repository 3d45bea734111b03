"""Fine-tuning on what is left and what is new: the first thing anybody would try."""

import math
from dataclasses import dataclass

from torch import Tensor

from workers.bench.cases import Case
from workers.bench.methods.descent import Stream, descend, losses_of

# The share of the training run's peak rate that the lab found best.
RATE_SHARE = 0.4


@dataclass(frozen=True, slots=True)
class FineTune:
    """So many epochs over the retained instances and the new contents, from the anchor."""

    epochs: float

    def __call__(self, case: Case) -> Tensor:
        line = case.line
        data = [*case.retained, *case.new]
        stream = Stream(data, case.seed)
        batch = line.recipe.batch_size
        return descend(
            line.resident,
            line.anchor,
            lambda _: losses_of(line.resident, stream.draw(batch)).mean(),
            steps=max(1, math.ceil(self.epochs * len(data) / batch)),
            learning_rate=RATE_SHARE * line.recipe.learning_rate,
        )
