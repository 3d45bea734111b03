"""Runs: what kinds of work there are and which lane each takes."""

from enum import StrEnum


class RunKind(StrEnum):
    train = "train"
    import_ = "import"
    influence = "influence"
    rebuild = "rebuild"
    collapse = "collapse"


class Lane(StrEnum):
    """`answer`: quick updates from the anchor. `compact`: everything that makes a new anchor.

    The lanes of a line are independent, so requests are answered while a rebuild is under way.
    """

    answer = "answer"
    compact = "compact"


def lane_of(kind: RunKind) -> Lane:
    return Lane.answer if kind is RunKind.influence else Lane.compact
