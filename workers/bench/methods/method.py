"""What a method of unlearning is, to the benchmark."""

from typing import Protocol

from torch import Tensor

from workers.bench.cases import Case


class Method(Protocol):
    """Answers a case with new adapter weights [p].

    The resident holds the anchor's weights when it is called, and may hold anything afterwards. It must
    not look at oracles or at the measured prompts' rewordings; the holdout is fair, since a line has one. Every
    forward and backward pass through `case.line.resident.model` is counted by the caller.
    """

    def __call__(self, case: Case) -> Tensor: ...
