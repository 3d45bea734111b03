"""The changes that a benchmark asks for: four tasks, four shares, and any number of forget sets."""

import random
from collections.abc import Callable, Sequence
from enum import StrEnum
from itertools import cycle

from service.domain.instances import Content
from service.domain.ledger import Edit, canonical
from workers.bench.settings import Setting


class Task(StrEnum):
    """The paper's three operations and a mixture of them (LLMEraser, section 3.1)."""

    removal = "removal"
    modification = "query modification"
    correction = "response correction"
    mixture = "mixture"


class Share(StrEnum):
    """How much of the training data changes."""

    subject = "one subject"
    hundredth = "1 %"
    tenth = "10 %"
    two_fifths = "40 %"


FRACTIONS = {Share.hundredth: 0.01, Share.tenth: 0.1, Share.two_fifths: 0.4}


class Unaskable(Exception):
    """The data do not allow for a ledger of this task and share. The message holds no text of theirs."""


def draw(setting: Setting, task: Task, share: Share, index: int) -> tuple[Edit, ...]:
    """The `index`-th ledger of a task and share, the same on every call.

    Removals take whole subjects, as erasure requests do, and corrections single instances, spread over
    subjects. Different indices name different instances as long as there are enough.

    Raises:
        Unaskable: nothing would be left, or no other instance has what would stand in for what goes.
    """
    names = _names(setting, task, share, index)
    if len(names) == len(setting.data.examples):
        raise Unaskable("it would change every instance")
    rng = random.Random(f"{task}/{share}/{index}")
    operations = cycle(_OPERATIONS[task])
    return canonical(_edit(setting, name, next(operations), rng) for name in names)


_OPERATIONS = {
    Task.removal: (Task.removal,),
    Task.modification: (Task.modification,),
    Task.correction: (Task.correction,),
    Task.mixture: (Task.removal, Task.modification, Task.correction),
}


def _names(setting: Setting, task: Task, share: Share, index: int) -> Sequence[str]:
    """The instances that change, in a seeded order: subject by subject, or mixed."""
    subjects = sorted(setting.subjects)
    random.Random(0).shuffle(subjects)
    if share is Share.subject:
        return setting.subjects[subjects[index % len(subjects)]]
    chosen = [name for subject in subjects for name in setting.subjects[subject]]
    if task is Task.correction:
        random.Random(1).shuffle(chosen)
    count = max(1, round(FRACTIONS[share] * len(chosen)))
    start = index * count % len(chosen)
    return (chosen + chosen)[start : start + count]


def _edit(setting: Setting, name: str, operation: Task, rng: random.Random) -> Edit:
    if operation is Task.removal:
        return Edit(name, None)
    contents = {example.id: example.content for example in setting.data.examples}
    old = contents[name]
    alike = sorted(
        other
        for other, kind in setting.kinds.items()
        if kind == setting.kinds[name] and _response(contents[other]) != _response(old)
    )
    if operation is Task.correction:
        return Edit(name, _any(setting, rng, alike, lambda other: old.with_completion(_response(contents[other]))))
    reworded = setting.reworded.get(name)
    return Edit(name, reworded if reworded is not None else _any(setting, rng, alike, contents.__getitem__))


def _any(setting: Setting, rng: random.Random, names: list[str], content_of: Callable[[str], Content]) -> Content:
    """The content that a random one of the names gives, of those that can be trained on."""
    while names:
        name = rng.choice(names)
        content = content_of(name)
        if setting.fits(content):
            return content
        names.remove(name)
    raise Unaskable("no other instance has another response that fits")


def _response(content: Content) -> str:
    """What a correction replaces: the completion, or a chat's last assistant message."""
    if content.messages is None:
        return content.completion or ""
    return next(message.content for message in reversed(content.messages) if message.role == "assistant")
