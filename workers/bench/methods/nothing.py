"""No update: the adapter as it is."""

from torch import Tensor

from workers.bench.cases import Case


def nothing(case: Case) -> Tensor:
    """The anchor's weights [p]."""
    return case.line.anchor
