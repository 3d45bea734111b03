"""Task arithmetic: learn the forgotten even better, and subtract what that changed (arXiv:2212.04089)."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from workers.bench.cases import Case
from workers.bench.methods.descent import Stream, descend, losses_of
from workers.bench.methods.goals import along
from workers.engine.tokens import Tokens


@dataclass(frozen=True, slots=True)
class TaskArithmetic:
    """So many steps on the old contents; the length of the subtraction comes from never-seen data.

    New contents are learnt from the anchor in as many steps, and what that changed is added.
    """

    steps: int = 10
    rate_share: float = 0.2

    def __call__(self, case: Case) -> Tensor:
        anchor = case.line.anchor
        answer = along(case, anchor - self._tuned(case, case.old))
        return answer + self._tuned(case, case.new) - anchor if case.new else answer

    def _tuned(self, case: Case, tokens: Sequence[Tokens]) -> Tensor:
        """The anchor after further training on these alone [p]."""
        line = case.line
        stream = Stream(tokens, case.seed)
        return descend(
            line.resident,
            line.anchor,
            lambda _: losses_of(line.resident, stream.draw(line.recipe.batch_size)).mean(),
            steps=self.steps,
            learning_rate=self.rate_share * line.recipe.learning_rate,
        )
