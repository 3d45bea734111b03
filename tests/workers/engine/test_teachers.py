"""Teachers' predictions against direct computation, and what is left of a memory in them taken out."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from service.domain.engine import Grade, TrainingSet
from tests.workers.engine.small_data import encode_all
from workers.engine.calibration import Calibration
from workers.engine.erasure_vectors import ErasureVectors
from workers.engine.losses import label_ids, label_logits
from workers.engine.out_of_fold import OutOfFold
from workers.engine.record import Checkpoint, TrainingRecord
from workers.engine.resident import Resident
from workers.engine.right_hand_side import Change
from workers.engine.teachers import Teachers, unremembered
from workers.engine.tokens import Tokens, collate
from workers.engine.top_predictions import TopPredictions

VOCABULARY = 259
CALIBRATION = Calibration(share_left=0.6, checkpoint=1, vectors_amplitude=2.0, measured=True)


@pytest.fixture
def changes(resident: Resident, data: TrainingSet) -> list[Change]:
    """Five removals, of unequal lengths."""
    tokens = encode_all(resident, data)
    return [Change(example.id, 1 / 36, tokens[example.id], None) for example in data.examples[:5]]


def weights(resident: Resident, seed: int) -> Tensor:
    return 0.3 * torch.randn(resident.parameters.size, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def logprobs(resident: Resident, tokens: Tokens, parameters: Tensor) -> Tensor:
    """One instance alone, without padding."""
    resident.parameters.set(parameters)
    logits, _ = label_logits(resident.model, collate([tokens], resident.pad_id))
    return logits.log_softmax(-1)


def random_top(positions: int, seed: int) -> TopPredictions:
    drawn = 3 * torch.randn(positions, VOCABULARY, generator=torch.Generator().manual_seed(seed))
    return TopPredictions.of(drawn.log_softmax(-1))


def assert_same(found: TopPredictions, exact: TopPredictions) -> None:
    """As distributions: where two tokens are equally likely, either may come first."""
    torch.testing.assert_close(found.spread(VOCABULARY), exact.spread(VOCABULARY), rtol=1e-3, atol=1e-3)


def kept(several: Tensor, change: Change) -> TopPredictions:
    """The geometric mean of log-probabilities, with the labels among what is kept however unlikely they are."""
    return TopPredictions.of(several.mean(0).log_softmax(-1), keep=label_ids(collate([change.old], 0)))


class TestPredict:
    def test_it_is_the_geometric_mean_of_all_teachers(self, resident: Resident, changes: list[Change]) -> None:
        common = [weights(resident, seed) for seed in range(3)]
        found = Teachers(common, {}, None).predict(resident, changes)
        for change, one in zip(changes, found, strict=True):
            several = torch.stack([logprobs(resident, change.old, each) for each in common])
            assert_same(one, kept(several, change))

    def test_an_own_teacher_is_one_more_for_its_instance_alone(
        self, resident: Resident, changes: list[Change]
    ) -> None:
        common, own = [weights(resident, 0), weights(resident, 1)], weights(resident, 2)
        found = Teachers(common, {changes[2].instance_id: own}, None).predict(resident, changes)
        for index, (change, one) in enumerate(zip(changes, found, strict=True)):
            chosen = [*common, own] if index == 2 else common
            several = torch.stack([logprobs(resident, change.old, each) for each in chosen])
            assert_same(one, kept(several, change))

    def test_labels_are_kept_however_unlikely(self, resident: Resident, changes: list[Change]) -> None:
        folds = {one.instance_id: (random_top(one.old.label_count, 5),) for one in changes}
        for known in (None, OutOfFold(folds, VOCABULARY)):
            found = Teachers([weights(resident, 0)], {}, known).predict(resident, changes)
            for change, one in zip(changes, found, strict=True):
                assert (one.tokens == label_ids(collate([change.old], 0))[:, None]).any(-1).all()

    @pytest.mark.parametrize("size", [1, 2, 4])
    def test_micro_batches_do_not_change_the_result(
        self, resident: Resident, changes: list[Change], size: int
    ) -> None:
        own = weights(resident, 2)
        teachers = Teachers([weights(resident, 0)], {change.instance_id: own for change in changes[1:4]}, None)
        whole = teachers.predict(resident, changes)
        resident.micro_batch.size = size
        for one, other in zip(teachers.predict(resident, changes), whole, strict=True):
            assert_same(one, other)

    def test_every_fold_weighs_one_share_as_all_others_do_together(
        self, resident: Resident, changes: list[Change]
    ) -> None:
        common, named = [weights(resident, 0), weights(resident, 1)], changes[1]
        folds = tuple(random_top(named.old.label_count, seed) for seed in (5, 6))
        near = Teachers(common, {}, None).predict(resident, changes)
        found = Teachers(common, {}, OutOfFold({named.instance_id: folds}, VOCABULARY)).predict(resident, changes)
        shares = torch.stack([one.spread(VOCABULARY) for one in (*folds, near[1])])
        assert_same(found[1], kept(shares, named))
        for index in (0, 2, 3, 4):  # no fold has seen these left out
            assert torch.equal(found[index].logprobs, near[index].logprobs)


@pytest.fixture
def record(resident: Resident, data: TrainingSet) -> TrainingRecord:
    """Two checkpoints, and a vector for each of twelve people of three instances."""
    size, names = resident.parameters.size, [example.id for example in data.examples]
    subjects = {name: f"person {index // 3:02}" for index, name in enumerate(names)}
    vectors = torch.randn(12, size, generator=torch.Generator().manual_seed(8))
    return TrainingRecord(
        weights=dict.fromkeys(names, 1 / 36),
        learning_rates=(0.1, 0.1),
        second_moments=torch.ones(size),
        epsilon=1e-8,
        weight_decay=0.0,
        steps=2,
        checkpoints=tuple(Checkpoint(step, weights(resident, 20 + step), torch.ones(size)) for step in range(2)),
        order_digest="",
        vectors=ErasureVectors(subjects, vectors),
    )


class TestOf:
    def test_all_answer_with_the_shrunk_anchor_and_the_chosen_checkpoint(
        self, resident: Resident, record: TrainingRecord, changes: list[Change]
    ) -> None:
        anchor = weights(resident, 1)
        shrunk, checkpoint = Teachers.of(anchor, CALIBRATION, record, changes, None).common
        torch.testing.assert_close(shrunk, 0.6 * anchor)
        assert torch.equal(checkpoint, record.checkpoints[1].parameters)

    def test_without_a_record_the_shrunk_anchor_is_alone(self, resident: Resident, changes: list[Change]) -> None:
        teachers = Teachers.of(weights(resident, 1), replace(CALIBRATION, checkpoint=None), None, changes, None)
        assert len(teachers.common) == 1
        assert not teachers.own

    def test_vectors_are_for_subjects_that_go_as_a_whole(
        self, resident: Resident, record: TrainingRecord, changes: list[Change]
    ) -> None:
        """Of the five, three are all of person 0 and two are a part of person 1."""
        anchor = weights(resident, 1)
        teachers = Teachers.of(anchor, CALIBRATION, record, changes, None)
        assert teachers.own.keys() == {"row-0", "row-1", "row-2"}
        assert record.vectors is not None
        for own in teachers.own.values():
            torch.testing.assert_close(own, anchor + 2.0 * record.vectors.vectors[0])

    def test_vectors_without_an_amplitude_teach_nothing(
        self, resident: Resident, record: TrainingRecord, changes: list[Change]
    ) -> None:
        calibration = replace(CALIBRATION, vectors_amplitude=None)
        assert not Teachers.of(weights(resident, 1), calibration, record, changes, None).own

    def test_the_grade_is_the_finest_that_all_have(
        self, resident: Resident, record: TrainingRecord, changes: list[Change]
    ) -> None:
        anchor = weights(resident, 1)
        folds = OutOfFold({change.instance_id: (random_top(3, 0),) for change in changes[:4]}, VOCABULARY)

        def grade(removed: list[Change]) -> Grade:
            return Teachers.of(anchor, CALIBRATION, record, removed, folds).grade(removed)

        assert grade(changes[:4]) == Grade.out_of_fold
        assert grade(changes) == Grade.end_point
        without_folds = Teachers.of(anchor, CALIBRATION, record, changes[:3], None)
        assert without_folds.grade(changes[:3]) == Grade.trajectory
        assert without_folds.grade([]) == Grade.end_point


class TestUnremembered:
    @pytest.fixture
    def predicted(self, changes: list[Change]) -> list[TopPredictions]:
        """Predictions that know every label: each is the likeliest by far."""
        found = []
        for seed, change in enumerate(changes):
            drawn = torch.randn(change.old.label_count, VOCABULARY, generator=torch.Generator().manual_seed(seed))
            labels = label_ids(collate([change.old], 0))
            found.append(
                TopPredictions.of((drawn + 9 * (torch.arange(VOCABULARY) == labels[:, None])).log_softmax(-1))
            )
        return found

    def loss(self, changes: list[Change], predicted: list[TopPredictions]) -> float:
        """The mean over instances of the labels' mean surprise."""
        losses = [
            one.surprise(label_ids(collate([change.old], 0))).mean()
            for change, one in zip(changes, predicted, strict=True)
        ]
        return float(torch.stack(losses).mean())

    def test_the_labels_mean_loss_is_the_goal(self, changes: list[Change], predicted: list[TopPredictions]) -> None:
        assert self.loss(changes, predicted) < 1.0
        for goal in (1.0, 3.0, 6.0):
            found = unremembered([change.old for change in changes], predicted, goal, 0)
            assert self.loss(changes, found) == pytest.approx(goal, abs=1e-3)

    def test_all_labels_lose_the_same_odds_and_nothing_else_does(
        self, changes: list[Change], predicted: list[TopPredictions]
    ) -> None:
        found = unremembered([change.old for change in changes], predicted, 3.0, 0)
        lost = []
        for change, before, after in zip(changes, predicted, found, strict=True):
            named = before.tokens == label_ids(collate([change.old], 0))[:, None]
            shifts = (after.logprobs - before.logprobs) - (after.rest - before.rest)[:, None]
            lost.append(shifts[named])
            assert float(shifts[~named].abs().max()) < 1e-4
        factors = torch.cat(lost)
        torch.testing.assert_close(factors, factors[:1].expand_as(factors), rtol=1e-4, atol=1e-4)
        assert float(factors[0]) < 0

    def test_what_is_past_the_goal_is_left_alone(self, changes: list[Change], predicted: list[TopPredictions]) -> None:
        goal = 0.9 * self.loss(changes, predicted)
        found = unremembered([change.old for change in changes], predicted, goal, 0)
        assert all(one is other for one, other in zip(found, predicted, strict=True))

    def test_nothing_is_nothing(self) -> None:
        assert unremembered([], [], 3.0, 0) == []
