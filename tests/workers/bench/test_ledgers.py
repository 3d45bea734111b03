"""What a benchmark asks for: drawn by index, the same on every call."""

from dataclasses import replace

import pytest

from service.domain.instances import Content, Message
from workers.bench.ledgers import Share, Task, Unaskable, draw
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


def test_one_subject_is_all_of_it_however_many_instances_the_others_have(setting: Setting) -> None:
    names = [example.id for example in setting.data.examples]
    uneven = replace(setting, subjects={"a": tuple(names[:1]), "b": tuple(names[1:8]), "c": tuple(names[8:])})
    asked = {index: _named(uneven, Task.removal, Share.subject, index) for index in range(3)}
    assert sorted(map(len, asked.values())) == [1, 7, 28]


def test_a_chat_is_corrected_in_its_last_answer(setting: Setting) -> None:
    def chat(content: Content) -> Content:
        turns = Message(role="user", content=content.prompt or ""), content.completion or ""
        return Content(messages=(turns[0], Message(role="assistant", content=turns[1])))

    examples = tuple(replace(example, content=chat(example.content)) for example in setting.data.examples)
    chats = replace(setting, data=replace(setting.data, examples=examples))
    old = {example.id: example.content.messages or () for example in examples}
    for edit in draw(chats, Task.correction, Share.tenth, 0):
        assert edit.new is not None
        assert edit.new.messages is not None
        assert edit.new.messages[0] == old[edit.instance_id][0]
        assert edit.new.messages[1] in {messages[1] for messages in old.values()} - {old[edit.instance_id][1]}


def test_only_contents_that_fit_are_asked_for(setting: Setting) -> None:
    short = replace(setting, fits=lambda content: len(content.completion or "") <= 4)
    assert all(
        edit.new and len(edit.new.completion or "") <= 4 for edit in draw(short, Task.correction, Share.tenth, 0)
    )


@pytest.mark.parametrize("task", [Task.correction, Task.mixture])
def test_without_another_response_there_is_nothing_to_ask(setting: Setting, task: Task) -> None:
    with pytest.raises(Unaskable):
        draw(replace(setting, fits=lambda content: False), task, Share.tenth, 0)


def test_a_subject_that_is_everything_cannot_go(setting: Setting) -> None:
    alone = replace(setting, subjects={"a": tuple(example.id for example in setting.data.examples)})
    with pytest.raises(Unaskable):
        draw(alone, Task.removal, Share.subject, 0)
