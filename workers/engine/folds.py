"""Parting the training data into folds that are left out in turn, whole subjects at a time."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from service.domain.engine import Example
from workers.engine.schedule import derived_seed

# How many folds each partition has. Two that cut differently give every instance two predictions by adapters
# that have not seen it, whose mean is closer to what a retrain would predict than either.
PARTITIONS = (10, 5)


@dataclass(frozen=True, slots=True)
class Fold:
    """The `index`-th fold of a partition; `members` are the ids of the instances that its adapter leaves out."""

    partition: int
    index: int
    members: frozenset[str]

    @property
    def name(self) -> str:
        return f"{self.partition}-{self.index}"


def every_fold(examples: Sequence[Example], partitions: Sequence[int] = PARTITIONS) -> list[Fold]:
    """The folds of all partitions, one partition after the other."""
    return [fold for index, count in enumerate(partitions) for fold in folds(examples, index, count)]


def folds(examples: Sequence[Example], partition: int, count: int) -> tuple[Fold, ...]:
    """At most `count` folds that hold every group once: a group is a subject, or an instance that has none.

    They depend on the names alone, not on their order, so that an interrupted run finds the same ones again.
    """
    groups: dict[tuple[bool, str], list[str]] = {}
    for example in examples:
        key = (False, example.id) if example.subject is None else (True, example.subject)
        groups.setdefault(key, []).append(example.id)
    order = sorted(groups)
    random.Random(derived_seed(0, "folds", partition)).shuffle(order)
    dealt = [order[index::count] for index in range(min(count, len(order)))]
    return tuple(
        Fold(partition, index, frozenset(name for group in chosen for name in groups[group]))
        for index, chosen in enumerate(dealt)
    )
