"""Completions with one value put in another's place: what an instance could have said as well, had it been different.

A value is recognised by its form: an e-mail address, a date, a number, a name. Others of its type are taken from
other instances, so that nothing is invented and no list of names is needed.
"""

import random
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from service.domain.instances import Content

_MONTH = r"(?:January|February|March|April|May|June|July|August|September|October|November|December)"
# The more particular first: a date is full of numbers.
TYPES: Mapping[str, re.Pattern[str]] = {
    "email": re.compile(r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+\b"),
    "date": re.compile(
        rf"\b(?:\d{{4}}-\d{{2}}-\d{{2}}|\d{{1,2}}[./]\d{{1,2}}[./]\d{{2,4}}"
        rf"|\d{{1,2}} {_MONTH} \d{{4}}|{_MONTH} \d{{1,2}}, \d{{4}})\b"
    ),
    "number": re.compile(r"\b\d+(?:[.,]\d+)*\b"),
    # One capitalised word begins any sentence; two together, or one within a sentence, are a name.
    "name": re.compile(r"\b[A-Z][\w'’-]+(?: [A-Z][\w'’-]+)+\b|(?<=[a-z,;:] )[A-Z][\w'’-]+\b"),
}


@dataclass(frozen=True, slots=True)
class Slot:
    """Where in a text a value of a type stands."""

    kind: str
    start: int
    end: int


def find_slot(text: str) -> Slot | None:
    """The first value of the most particular type."""
    for kind, pattern in TYPES.items():
        found = pattern.search(text)
        if found:
            return Slot(kind, found.start(), found.end())
    return None


def values_by_type(contents: Iterable[Content]) -> dict[str, list[str]]:
    """The values that stand in the slots of completions, sorted, each once."""
    found: dict[str, set[str]] = {kind: set() for kind in TYPES}
    for content in contents:
        text = completion_of(content)
        slot = find_slot(text)
        if slot is not None:
            found[slot.kind].add(text[slot.start : slot.end])
    return {kind: sorted(values) for kind, values in found.items()}


def alternatives(content: Content, values: Mapping[str, Sequence[str]], most: int, seed: int) -> list[Content]:
    """At most `most` contents that differ from this one in the value of its slot; none where it has no slot."""
    text = completion_of(content)
    slot = find_slot(text)
    if slot is None:
        return []
    own = text[slot.start : slot.end].casefold()
    others = [value for value in values[slot.kind] if value.casefold() != own]
    drawn = random.Random(f"{seed} {text}").sample(others, min(most, len(others)))
    return [content.with_completion(text[: slot.start] + value + text[slot.end :]) for value in drawn]


def completion_of(content: Content) -> str:
    """The completion, or what the assistant said last."""
    if content.messages is None:
        return content.completion or ""
    return next(message.content for message in reversed(content.messages) if message.role == "assistant")
