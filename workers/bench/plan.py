"""Which cases a benchmark runs: tasks, shares, regimes, forget sets and seeds."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from workers.bench.ledgers import Share, Task

# Oracles that differ only in their seed: what every method is compared with, and the noise floor.
ORACLE_SEEDS = (101, 102, 103, 104, 105)


@dataclass(frozen=True, slots=True)
class Question:
    """A ledger to answer: the `index`-th forget set of a task and share, on a line of some regime."""

    task: Task
    share: Share
    regime: str
    index: int

    def __str__(self) -> str:
        return f"{self.task} of {self.share}, {self.regime}, set {self.index + 1}"


@dataclass(frozen=True, slots=True)
class Plan:
    """Questions, and the seeds with which every method answers each of them."""

    questions: tuple[Question, ...]
    seeds: tuple[int, ...]

    @property
    def regimes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(question.regime for question in self.questions))

    def of(self, regime: str) -> tuple[Question, ...]:
        return tuple(question for question in self.questions if question.regime == regime)

    @property
    def retrains(self) -> int:
        return len(self.questions) * len(ORACLE_SEEDS)


def quick(regime: str = "memorised") -> Plan:
    """Every method on removal of a tenth and of one subject, in one regime, once."""
    shares = (Share.subject, Share.tenth)
    return Plan(tuple(Question(Task.removal, share, regime, 0) for share in shares), (0,))


def whole(*, regimes: Sequence[str], forget_sets: int = 3, seeds: int = 3) -> Plan:
    """Every task and share in every regime, on several forget sets and seeds."""
    combinations = [
        *product((Task.removal, Task.modification, Task.mixture), (Share.subject, Share.hundredth, Share.tenth)),
        *product((Task.correction,), tuple(Share)),
    ]
    questions = [
        Question(task, share, regime, index)
        for regime, (task, share), index in product(regimes, combinations, range(forget_sets))
    ]
    return Plan(tuple(questions), tuple(range(seeds)))
