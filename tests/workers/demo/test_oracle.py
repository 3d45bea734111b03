"""The oracle really trains, in its own process, and reports as it goes."""

from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

from service.domain.adapters import LoraSpec, Recipe
from service.domain.instances import InstanceLine
from workers.demo.exam import Marks, Question
from workers.demo.oracle import Retraining
from workers.demo.peer import Peer, PeerFailed

pytestmark = pytest.mark.slow  # every test starts a process that imports transformers

LINES = tuple(InstanceLine(id=f"row-{n}", prompt=f"{n}:", completion="abcdefgh"[n]) for n in range(8))
MODULES = ("q_proj", "v_proj", "gate_proj", "up_proj", "down_proj")
RECIPE = Recipe(epochs=30, batch_size=4, learning_rate=1e-2, lora=LoraSpec(r=4, alpha=8, target_modules=MODULES))


def _task(base: Path, out: Path, lines: tuple[InstanceLine, ...]) -> dict[str, Any]:
    exam = tuple(Question(group="all", prompt=f"{line.prompt}", completion=f"{line.completion}") for line in LINES)
    slots = tuple(LINES.index(line) for line in lines)
    task = Retraining(base=base, recipe=RECIPE, lines=lines, slots=slots, slot_count=8, out=out, exam=exam)
    return task.model_dump(mode="json")


def test_what_it_was_trained_on_it_knows_better_than_what_was_left_out(base: Path, tmp_path: Path) -> None:
    reported: list[Any] = []
    with Peer("workers.demo.oracle", log=tmp_path / "log") as oracle:
        answer = oracle.ask(_task(base, tmp_path / "out", LINES[1:]), meanwhile=reported.append)
    marks = Marks.model_validate(answer["exam"]).marks
    assert marks[0].loss > max(mark.loss for mark in marks[1:])
    assert reported[-1] == {"done": 60, "total": 60}
    assert all(mark.answer is not None for mark in marks)


def test_the_same_data_give_the_same_bits(base: Path, tmp_path: Path) -> None:
    with Peer("workers.demo.oracle", log=tmp_path / "log") as oracle:
        for name in ("one", "two"):
            oracle.ask(_task(base, tmp_path / name, LINES))
    one, two = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("one", "two"))
    assert one.keys() == two.keys()
    assert all((one[name] == two[name]).all() for name in one)


def test_a_process_that_dies_says_why(base: Path, tmp_path: Path) -> None:
    with Peer("workers.demo.oracle", log=tmp_path / "log") as oracle:
        task = _task(base, tmp_path / "out", LINES) | {"base": str(tmp_path)}
        with pytest.raises(PeerFailed, match="base"):
            oracle.ask(task)
