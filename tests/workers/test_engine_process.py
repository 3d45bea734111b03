"""A real child that is asked to make room."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.domain.adapters import LoraSpec, Recipe, TrainingFormat
from service.domain.engine import Base, Example, FoldResult, OutOfFoldJob, TrainingSet, Yielded
from service.domain.instances import Content
from tests.workers.tiny_llama import save_tiny_llama
from workers.engine_process import EngineProcess, Overstayed

pytestmark = pytest.mark.slow

DEADLINE_S = 120


@pytest.fixture
def engine() -> Iterator[EngineProcess]:
    engine = EngineProcess({**os.environ, "LETHE_DEVICE": "cpu"})
    yield engine
    engine.kill()


def fold_job(directory: Path, *, epochs: int) -> OutOfFoldJob:
    examples = tuple(Example(f"row-{n}", Content(prompt=f"{n}?", completion=f"{n}!"), f"p{n % 3}") for n in range(60))
    slots = tuple(range(60))
    base = Base(str(save_tiny_llama(directory / "base")), None, None)
    data = TrainingSet(base, TrainingFormat(max_length=64), examples, slots, len(slots), ())
    recipe = Recipe(
        epochs=epochs, batch_size=4, learning_rate=1e-3, lora=LoraSpec(r=2, alpha=4, target_modules=("q_proj",))
    )
    return OutOfFoldJob(data, recipe, (), directory / "out")


def test_a_fold_yields_between_epochs_and_the_child_lives_on(engine: EngineProcess, tmp_path: Path) -> None:
    def carry_out(*, wanted: bool) -> object:
        return engine.run(
            fold_job(tmp_path, epochs=2),
            on_progress=lambda progress: None,
            watch=lambda: None,
            wants_yield=lambda: wanted,
            deadline_s=DEADLINE_S,
            patience_s=DEADLINE_S,
        )

    assert isinstance(carry_out(wanted=True), Yielded)
    assert (tmp_path / "out" / "checkpoint").is_dir()
    assert isinstance(carry_out(wanted=False), FoldResult)


def test_one_that_takes_too_long_to_yield_is_ended(engine: EngineProcess, tmp_path: Path) -> None:
    with pytest.raises(Overstayed):
        engine.run(
            fold_job(tmp_path, epochs=1),
            on_progress=lambda progress: None,
            watch=lambda: None,
            wants_yield=lambda: True,
            deadline_s=DEADLINE_S,
            patience_s=0.05,
        )
    assert engine.kill() is None, "the child is gone"
    assert not (tmp_path / "out" / "fold").exists()
