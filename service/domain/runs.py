"""Runs: what kinds of work there are and which lane each takes."""

from collections.abc import Mapping
from enum import StrEnum

from service.domain.adapters import Strategy


class RunKind(StrEnum):
    """`retire` takes no worker: it is over in the transaction that takes its line out of service."""

    train = "train"
    import_ = "import"
    influence = "influence"
    rebuild = "rebuild"
    collapse = "collapse"
    out_of_fold = "out_of_fold"
    retire = "retire"


class Lane(StrEnum):
    """`answer`: quick updates from the anchor. `compact`: everything that makes a new anchor.
    `idle`: what prepares an anchor further while a worker has nothing else to do.

    The lanes of a line are independent, so requests are answered while a rebuild is under way.
    """

    answer = "answer"
    compact = "compact"
    idle = "idle"


def answering(strategy: Strategy) -> RunKind:
    """The kind of run that answers requests by this strategy."""
    return RunKind.rebuild if strategy is Strategy.rebuild else RunKind.influence


def lane_of(kind: RunKind) -> Lane:
    return _OTHER_LANES.get(kind, Lane.compact)


_OTHER_LANES: Mapping[RunKind, Lane] = {RunKind.influence: Lane.answer, RunKind.out_of_fold: Lane.idle}
