"""Folds hold every group once, and the same ones on every call."""

from dataclasses import replace

from service.domain.engine import Example
from tests.workers.engine.small_data import make_examples
from workers.engine.folds import folds


def people(count: int, rows: int) -> tuple[Example, ...]:
    """`rows` instances each of `count` subjects, interleaved."""
    return tuple(
        replace(example, subject=f"person-{index % count}")
        for index, example in enumerate(make_examples(count * rows, seed=1))
    )


class TestFolds:
    def test_every_instance_is_in_one_fold(self) -> None:
        examples = people(13, 3)
        members = sorted(name for fold in folds(examples, 0, 5) for name in fold.members)
        assert members == sorted(example.id for example in examples)

    def test_a_subject_is_never_torn_apart(self) -> None:
        examples = people(13, 3)
        subject = {example.id: example.subject for example in examples}
        found = [{subject[name] for name in fold.members} for fold in folds(examples, 0, 5)]
        assert sum(len(subjects) for subjects in found) == 13

    def test_instances_without_a_subject_are_groups_of_their_own(self) -> None:
        assert [len(fold.members) for fold in folds(make_examples(10, seed=1), 0, 5)] == [2] * 5

    def test_a_subject_and_an_instance_of_the_same_name_are_apart(self) -> None:
        first, second = make_examples(2, seed=1)
        found = folds([replace(first, subject=second.id), second], 0, 2)
        assert [len(fold.members) for fold in found] == [1, 1]

    def test_there_are_no_more_folds_than_groups(self) -> None:
        assert len(folds(people(3, 2), 0, 10)) == 3

    def test_the_order_of_the_data_does_not_matter(self) -> None:
        examples = people(13, 3)
        assert folds(examples, 0, 5) == folds(examples[::-1], 0, 5)

    def test_partitions_cut_differently(self) -> None:
        examples = people(13, 3)
        assert {fold.members for fold in folds(examples, 0, 5)} != {fold.members for fold in folds(examples, 1, 5)}
