"""Instances: two forms, two corrections, one normal form."""

import pytest
from pydantic import ValidationError

from service.domain.errors import InvalidInput
from service.domain.instances import Content, InstanceLine, Message

CHAT = Content(
    messages=(
        Message(role="user", content="first"),
        Message(role="assistant", content="one"),
        Message(role="user", content="second"),
        Message(role="assistant", content="two"),
    )
)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"prompt": "p"},
        {"completion": "c"},
        {"prompt": "p", "completion": "c", "messages": []},
        {"messages": []},
        {"messages": [{"role": "user", "content": "x"}]},
        {"prompt": "p", "completion": "c", "label": 1},
    ],
)
def test_a_content_has_exactly_one_complete_form(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Content.model_validate(fields)


def test_corrections_of_a_pair() -> None:
    pair = Content(prompt="p", completion="c")
    assert pair.with_prompt("q") == Content(prompt="q", completion="c")
    assert pair.with_completion("d") == Content(prompt="p", completion="d")


def test_corrections_of_a_chat_change_its_last_turns() -> None:
    assert [m.content for m in CHAT.with_prompt("new").messages or ()] == ["first", "one", "new", "two"]
    assert [m.content for m in CHAT.with_completion("new").messages or ()] == ["first", "one", "second", "new"]


def test_a_chat_without_a_question_cannot_be_asked_otherwise() -> None:
    with pytest.raises(InvalidInput):
        Content(messages=(Message(role="assistant", content="x"),)).with_prompt("new")


def test_duplicates_are_found_whatever_their_case_spacing_and_form() -> None:
    one = Content(prompt="Was ist  LOS?", completion="Ni\u0302chts")
    same = Content(
        messages=(Message(role="user", content="was ist los?"), Message(role="assistant", content="n\u00eechts "))
    )
    assert one.normalised() == same.normalised()
    assert one.normalised() != one.with_completion("etwas").normalised()


def test_a_line_may_name_one_subject_several_or_none() -> None:
    base = {"id": "1", "prompt": "p", "completion": "c"}
    subjects = [
        InstanceLine.model_validate({**base, **extra}).to_instance().subjects
        for extra in ({}, {"subject": "a"}, {"subject": ["a", "b", "a"]})
    ]
    assert subjects == [(), ("a",), ("a", "b")]
