"""What a benchmark asks for: drawn by index, the same on every call."""

import pytest

from workers.bench.ledgers import Share, Task, draw
from workers.bench.settings import Setting

COUNTS = {Share.subject: 3, Share.hundredth: 1, Share.tenth: 4, Share.two_fifths: 14}


def _named(setting: Setting, task: Task, share: Share, index: int) -> set[str]:
    return {edit.instance_id for edit in draw(setting, task, share, index)}


@pytest.mark.parametrize("task", Task)
@pytest.mark.parametrize("share", Share)
def test_a_share_has_its_size_and_is_the_same_again(setting: Setting, task: Task, share: Share) -> None:
    edits = draw(setting, task, share, 1)
    assert len(edits) == COUNTS[share]
    assert edits == draw(setting, task, share, 1)


@pytest.mark.parametrize("task", Task)
@pytest.mark.parametrize("share", Share)
def test_different_indices_name_different_instances(setting: Setting, task: Task, share: Share) -> None:
    assert not _named(setting, task, share, 0) & _named(setting, task, share, 1)


def test_a_removal_of_one_subject_is_all_of_it(setting: Setting) -> None:
    edits = draw(setting, Task.removal, Share.subject, 2)
    assert {edit.instance_id for edit in edits} in [set(names) for names in setting.subjects.values()]
    assert {edit.new for edit in edits} == {None}


def test_a_correction_asks_the_same_and_answers_otherwise(setting: Setting) -> None:
    old = {example.id: example.content for example in setting.data.examples}
    for edit in draw(setting, Task.correction, Share.two_fifths, 0):
        assert edit.new is not None
        assert edit.new.prompt == old[edit.instance_id].prompt
        assert edit.new.completion != old[edit.instance_id].completion
        assert edit.new.completion in {content.completion for content in old.values()}


def test_a_modified_query_is_the_same_question_in_other_words(setting: Setting) -> None:
    for edit in draw(setting, Task.modification, Share.tenth, 0):
        assert edit.new == setting.reworded[edit.instance_id]


def test_a_mixture_removes_rewords_and_corrects(setting: Setting) -> None:
    edits = draw(setting, Task.mixture, Share.two_fifths, 0)
    removed = [edit for edit in edits if edit.new is None]
    reworded = [edit for edit in edits if edit.new == setting.reworded[edit.instance_id]]
    assert len(removed) == 5
    assert len(reworded) == 5
