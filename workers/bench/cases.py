"""What a method is given: a trained line with everything it left behind, and a ledger to answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from service.domain.adapters import Recipe
from service.domain.engine import TrainingSet
from service.domain.ledger import Edit
from workers.engine.preparation import Preparation
from workers.engine.record import TrainingRecord
from workers.engine.resident import Resident
from workers.engine.right_hand_side import Change
from workers.engine.tokens import Tokens


@dataclass(frozen=True, slots=True)
class Line:
    """A trained adapter. `tokens` has every training and holdout instance by id; `anchor` is its weights [p].

    `training_record` is None for an adapter that was trained elsewhere and came without one.

    `place` is where it is kept on disk, with whatever idle workers would have made for it. `subjects` groups
    the training instances. `preparation` is what the engine made once for the anchor, and `end_point` what it
    would have made for the same adapter had it been imported without a record.
    """

    resident: Resident
    data: TrainingSet
    recipe: Recipe
    training_record: TrainingRecord | None
    preparation: Preparation
    end_point: Preparation
    anchor: Tensor
    tokens: Mapping[str, Tokens]
    subjects: Mapping[str, tuple[str, ...]]
    place: Path

    @property
    def record(self) -> TrainingRecord:
        """The training record, for methods that do nothing without one.

        Raises:
            ValueError: there is none.
        """
        if self.training_record is None:
            raise ValueError("this needs a training record, and the line was imported without one")
        return self.training_record

    @property
    def training_instances(self) -> int:
        """Instance gradients of one full training run: what every cost is a share of."""
        return self.recipe.epochs * len(self.data.examples)


@dataclass(frozen=True, slots=True)
class Case:
    """A ledger on a line. `changes` is the same ledger in tokens; `retained` is what it leaves alone."""

    line: Line
    edits: tuple[Edit, ...]
    changes: tuple[Change, ...]
    retained: tuple[Tokens, ...]
    seed: int

    @property
    def old(self) -> Sequence[Tokens]:
        """The old side of every change: what is to be forgotten."""
        return [change.old for change in self.changes]

    @property
    def new(self) -> Sequence[Tokens]:
        """The new side of every edit: what is to be known instead. Empty for a pure removal."""
        return [change.new for change in self.changes if change.new is not None]
