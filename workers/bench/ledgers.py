"""The changes that a benchmark asks for: four tasks, four shares, and any number of forget sets."""

import random
from enum import StrEnum
from itertools import cycle

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


def draw(setting: Setting, task: Task, share: Share, index: int) -> tuple[Edit, ...]:
    """The `index`-th ledger of a task and share, the same on every call.

    Removals take whole subjects, as erasure requests do, and corrections single instances, spread over
    subjects. Different indices name different instances as long as there are enough.
    """
    chosen = _instances(setting, whole_subjects=task is not Task.correction or share is Share.subject, share=share)
    count = _count(setting, share)
    start = index * count % len(chosen)
    names = (chosen + chosen)[start : start + count]
    rng = random.Random(f"{task}/{share}/{index}")
    operations = cycle(_OPERATIONS[task])
    return canonical(_edit(setting, name, next(operations), rng) for name in names)


_OPERATIONS = {
    Task.removal: (Task.removal,),
    Task.modification: (Task.modification,),
    Task.correction: (Task.correction,),
    Task.mixture: (Task.removal, Task.modification, Task.correction),
}


def _count(setting: Setting, share: Share) -> int:
    if share is Share.subject:
        return len(next(iter(setting.subjects.values())))
    return max(1, round(FRACTIONS[share] * len(setting.data.examples)))


def _instances(setting: Setting, *, whole_subjects: bool, share: Share) -> list[str]:
    """All training instances in a seeded order, subject by subject or mixed."""
    subjects = sorted(setting.subjects)
    random.Random(0).shuffle(subjects)
    names = [name for subject in subjects for name in setting.subjects[subject]]
    if not whole_subjects:
        random.Random(1).shuffle(names)
    return names


def _edit(setting: Setting, name: str, operation: Task, rng: random.Random) -> Edit:
    if operation is Task.removal:
        return Edit(name, None)
    contents = {example.id: example.content for example in setting.data.examples}
    old = contents[name]
    alike = sorted(
        other
        for other, kind in setting.kinds.items()
        if kind == setting.kinds[name] and contents[other].completion != old.completion
    )
    if operation is Task.correction:
        return Edit(name, old.with_completion(contents[rng.choice(alike)].completion or ""))
    reworded = setting.reworded.get(name)
    return Edit(name, reworded if reworded is not None else contents[rng.choice(alike)])
