"""Replay from a checkpoint: go back to before the end of training, and train the rest again without the data."""

from dataclasses import dataclass

from torch import Tensor

from workers.bench.cases import Case
from workers.bench.methods.descent import Stream, descend, losses_of


@dataclass(frozen=True, slots=True)
class Replay:
    """From the record's `checkpoint`-th checkpoint, over the steps that are left or over a `share` of them."""

    checkpoint: int
    share: float = 1.0

    def __call__(self, case: Case) -> Tensor:
        line = case.line
        if self.checkpoint >= len(line.record.checkpoints):
            raise ValueError("the training record has no such checkpoint")
        origin = line.record.checkpoints[self.checkpoint]
        stream = Stream([*case.retained, *case.new], case.seed)
        return descend(
            line.resident,
            origin.parameters.to(line.anchor),
            lambda _: losses_of(line.resident, stream.draw(line.recipe.batch_size)).mean(),
            steps=max(1, round(self.share * (line.record.steps - origin.step))),
            learning_rate=line.record.learning_rates[origin.step],
            second_moments=origin.second_moments.to(line.anchor),
        )
