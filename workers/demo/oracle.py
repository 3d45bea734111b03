"""The yardstick: an adapter really retrained without the erased data, apart from the service.

It uses the engine's trainer with the same recipe, seed and slots, in a process of its own, and is what
an erasure is compared with.

    python -m workers.demo.oracle < question > answer
"""

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel

from service.domain.adapters import Recipe, TrainingFormat
from service.domain.engine import Base, Example, Progress, TrainingSet
from service.domain.instances import InstanceLine
from workers.demo.exam import Question, take
from workers.demo.peer import Say, answer_questions
from workers.engine.export import export_adapter
from workers.engine.loading import open_base
from workers.engine.resident import Resident
from workers.engine.tokens import encode
from workers.engine.training import train


class Retraining(BaseModel):
    """What to train on: lines with the slots they had in the original data, and where the adapter goes."""

    base: Path
    recipe: Recipe
    lines: tuple[InstanceLine, ...]
    slots: tuple[int, ...]
    slot_count: int
    out: Path
    exam: tuple[Question, ...]


def retrain(task: Retraining, say: Say) -> Mapping[str, object]:
    """Train, export, examine."""
    data = TrainingSet(
        base=Base(str(task.base), None, None),
        format=TrainingFormat(),
        examples=tuple(Example(line.id, line.to_instance().content) for line in task.lines),
        slots=task.slots,
        slot_count=task.slot_count,
        holdout=(),
    )
    resident = Resident(open_base(data.base, torch.device("cpu")), task.recipe.lora)
    tokens = {example.id: encode(resident.tokenizer, example.content, data.format) for example in data.examples}

    def report(progress: Progress) -> None:
        say({"progress": {"done": progress.done, "total": progress.total}})

    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as checkpoint:
        train(
            resident,
            data,
            task.recipe,
            tokens,
            checkpoint=Path(checkpoint),
            progress=report,
            should_yield=lambda: False,
        )
    seconds = time.perf_counter() - started
    export_adapter(resident, str(task.base), task.out)
    return {"seconds": seconds, "exam": take(resident.model, resident.tokenizer, task.exam).model_dump()}


def main() -> None:
    def answer(question: Any, say: Say) -> Mapping[str, object]:
        return retrain(Retraining.model_validate(question), say)

    answer_questions(answer)


if __name__ == "__main__":
    main()
