"""What the forgotten should be answered with: the predictions that a retrain without them would make, estimated.

Nothing in a loss says what to predict instead of what was memorised. Adapters that are close to the anchor but
have not memorised do: the anchor shrunk towards its base, the checkpoint at which training was half done, the anchor
moved along a subject's own erasure vector, and adapters that were trained without the instance. Each errs in its
own way, so that their geometric mean is closer to a retrain than any of them. What is left of the memory in it
is taken out at last: the labels are made so much less likely that their mean loss is that of never-seen data.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from service.domain.engine import Grade
from workers.engine.calibration import Calibration
from workers.engine.losses import label_ids
from workers.engine.out_of_fold import OutOfFold
from workers.engine.predictions import predictions
from workers.engine.record import TrainingRecord
from workers.engine.resident import Resident
from workers.engine.right_hand_side import Change
from workers.engine.tokens import Tokens, collate
from workers.engine.top_predictions import TopPredictions, geometric_mean

# Bisections of the factor by which labels are made less likely, in the logarithm; and the largest one.
BISECTIONS = 24
LARGEST = 30.0


@dataclass(frozen=True, slots=True)
class Teachers:
    """Weights [p] to predict with: `common` for every instance, and `own` ones by instance id.

    `folds` has the predictions of adapters trained without an instance; None where there are none.
    """

    common: Sequence[Tensor]
    own: Mapping[str, Tensor]
    folds: OutOfFold | None

    @classmethod
    def of(
        cls,
        anchor: Tensor,
        calibration: Calibration,
        record: TrainingRecord | None,
        forgotten: Sequence[Change],
        folds: OutOfFold | None,
    ) -> "Teachers":
        """All that an anchor has for these instances. Subjects that go as a whole have vectors of their own."""
        common = [anchor * calibration.share_left]
        if record is not None and calibration.checkpoint is not None:
            common.append(record.checkpoints[calibration.checkpoint].parameters.to(anchor))
        return cls(common, dict(_own(anchor, calibration, record, forgotten)), folds)

    def grade(self, removed: Sequence[Change]) -> Grade:
        """The finest preparation that all of the removed instances have."""
        names = [change.instance_id for change in removed]
        if names and self.folds is not None and self.folds.covers(names):
            return Grade.out_of_fold
        return Grade.trajectory if names and all(name in self.own for name in names) else Grade.end_point

    def predict(self, resident: Resident, forgotten: Sequence[Change]) -> list[TopPredictions]:
        """The geometric mean of all teachers for each instance; out-of-fold predictions weigh one share each, as
        the mean of the others does together.

        Costs a forward pass of each instance a teacher. Memory: 4·V bytes a label position of a micro-batch.
        """

        def attempt(size: int) -> list[TopPredictions]:
            found: list[TopPredictions] = []
            for group in self._batches(forgotten, size):
                batch = collate([change.old for change in group], resident.pad_id).to(resident.device)
                own = self.own.get(group[0].instance_id)
                weights = [*self.common, own] if own is not None else self.common
                logprobs = torch.stack([predictions(resident, batch, one) for one in weights]).mean(0).log_softmax(-1)
                every = TopPredictions.of(logprobs, keep=label_ids(batch)).to(torch.device("cpu"))
                found += every.split([change.old.label_count for change in group])
            return found

        near = resident.micro_batch.attempt(attempt)
        if self.folds is None:
            return near
        return [self._joined(resident, change, one) for change, one in zip(forgotten, near, strict=True)]

    def _joined(self, resident: Resident, change: Change, near: TopPredictions) -> TopPredictions:
        if self.folds is None or change.instance_id not in self.folds.found:
            return near
        labels = label_ids(collate([change.old], resident.pad_id))
        return geometric_mean([*self.folds.found[change.instance_id], near], self.folds.vocabulary, keep=labels)

    def _batches(self, forgotten: Sequence[Change], size: int) -> Iterator[list[Change]]:
        """Consecutive instances with the same teachers, at most `size` at a time."""
        group: list[Change] = []
        for change in forgotten:
            same = group and self.own.get(group[0].instance_id) is self.own.get(change.instance_id)
            if group and (not same or len(group) == size):
                yield group
                group = []
            group.append(change)
        if group:
            yield group


def unremembered(
    tokens: Sequence[Tokens], predicted: Sequence[TopPredictions], goal: float, pad_id: int
) -> list[TopPredictions]:
    """The predictions with all labels made less likely by one common factor, so that their mean loss is `goal`.

    Left as they are where the loss is at the goal or past it. Costs no pass through the model.
    """
    labels = [label_ids(collate([one], pad_id)) for one in tokens]

    def lowered(by: float) -> list[TopPredictions]:
        return [one.lowered(label, by) for one, label in zip(predicted, labels, strict=True)]

    def loss(by: float) -> float:
        surprises = [one.surprise(label).mean() for one, label in zip(lowered(by), labels, strict=True)]
        return float(torch.stack(surprises).mean())

    if not tokens or loss(0.0) >= goal:
        return list(predicted)
    low, high = 0.0, LARGEST
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if loss(middle) < goal else (low, middle)
    return lowered(low)


def _own(
    anchor: Tensor, calibration: Calibration, record: TrainingRecord | None, forgotten: Sequence[Change]
) -> Iterator[tuple[str, Tensor]]:
    if record is None or record.vectors is None or calibration.vectors_amplitude is None:
        return
    vectors = record.vectors
    moved: dict[str, Tensor] = {
        subject: anchor + calibration.vectors_amplitude * vectors.total([subject]).to(anchor)
        for subject in vectors.covering(change.instance_id for change in forgotten)
    }
    for change in forgotten:
        subject = vectors.subjects.get(change.instance_id)
        if subject in moved:
            yield change.instance_id, moved[subject]
