"""A real child that is asked to make room, or to forget."""

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from service.domain.adapters import LoraSpec, Recipe, TrainingFormat
from service.domain.engine import (
    Anchor,
    AnchorResult,
    Base,
    EngineFailure,
    Example,
    FoldResult,
    InfluenceJob,
    InfluenceResult,
    Job,
    OutOfFoldJob,
    Progress,
    Result,
    TrainingSet,
    TrainJob,
    Yielded,
)
from service.domain.instances import Content
from service.domain.ledger import Edit
from tests.workers.tiny_llama import save_tiny_llama
from workers.engine_process import EngineProcess, Overstayed

pytestmark = pytest.mark.slow

DEADLINE_S = 120


@pytest.fixture(scope="module")
def engine() -> Iterator[EngineProcess]:
    """One for all, because a child takes long to start."""
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


def test_one_that_is_still_starting_can_be_given_up(tmp_path: Path) -> None:
    """Starting takes minutes where the device is slow; a worker that is told to stop does not wait for it."""
    (tmp_path / "sitecustomize.py").write_text("import time; time.sleep(60)")
    slow = EngineProcess({**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{Path.cwd()}"})

    def watch() -> None:
        raise KeyError("stop")

    began = time.monotonic()
    with pytest.raises(KeyError, match="stop"):
        slow.run(
            fold_job(tmp_path, epochs=1),
            on_progress=lambda progress: None,
            watch=watch,
            wants_yield=lambda: False,
            deadline_s=DEADLINE_S,
        )
    assert time.monotonic() - began < 30
    assert slow.kill() is None, "no child is left"


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


class TestForgetting:
    """Whether the child still has an anchor shows when the anchor's files are not there any more."""

    RECIPE = Recipe(
        epochs=4, batch_size=4, learning_rate=1e-3, lora=LoraSpec(r=2, alpha=4, target_modules=("q_proj",))
    )

    @pytest.fixture
    def data(self, tmp_path: Path) -> TrainingSet:
        data = fold_job(tmp_path, epochs=1).data
        return replace(data, examples=EXAMPLES, slots=tuple(range(12)), slot_count=12)

    @pytest.fixture
    def anchor(self, engine: EngineProcess, data: TrainingSet, tmp_path: Path) -> Anchor:
        """Trained, and answered from once; what it left on disk is gone."""
        out = tmp_path / "v1"
        assert isinstance(execute(engine, TrainJob(data, self.RECIPE, out)), AnchorResult)
        anchor = Anchor(f"ver_{tmp_path.name}", data, self.RECIPE, out / "adapter", out / "anchor")
        assert isinstance(execute(engine, self.answer(anchor, tmp_path / "v2")), InfluenceResult)
        shutil.rmtree(out / "anchor")
        return anchor

    def answer(self, anchor: Anchor, out: Path) -> InfluenceJob:
        return InfluenceJob(anchor, (Edit("row-1", None),), out)

    def is_known(self, engine: EngineProcess, anchor: Anchor, out: Path) -> bool:
        result = execute(engine, self.answer(anchor, out))
        if isinstance(result, EngineFailure):
            assert result.code == "preparation"
            return False
        return True

    def test_anchors_that_are_named_stay_and_all_others_go(
        self, engine: EngineProcess, anchor: Anchor, tmp_path: Path
    ) -> None:
        engine.keep((anchor.key, "ver_2"))
        assert self.is_known(engine, anchor, tmp_path / "a")
        engine.keep(("ver_2",))
        assert not self.is_known(engine, anchor, tmp_path / "b")

    def test_they_go_in_the_middle_of_other_work_too(
        self, engine: EngineProcess, anchor: Anchor, data: TrainingSet, tmp_path: Path
    ) -> None:
        told = threading.Event()

        def heartbeat(progress: Progress) -> None:
            if not told.is_set():
                threading.Thread(target=engine.keep, args=(("ver_2",),)).start()
                told.set()

        other = TrainJob(data, self.RECIPE.model_copy(update={"seed": 1}), tmp_path / "other")
        assert isinstance(execute(engine, other, on_progress=heartbeat), AnchorResult)
        assert told.is_set()
        assert not self.is_known(engine, anchor, tmp_path / "a")

    def test_one_that_a_job_brings_back_goes_when_the_job_is_over(
        self, engine: EngineProcess, anchor: Anchor, data: TrainingSet, tmp_path: Path
    ) -> None:
        engine.keep(())
        out = tmp_path / "again"
        assert isinstance(execute(engine, TrainJob(data, self.RECIPE, out)), AnchorResult)
        late = replace(anchor, adapter=out / "adapter", artefacts=out / "anchor")
        assert self.is_known(engine, late, tmp_path / "a")
        shutil.rmtree(out / "anchor")
        engine.keep(())
        assert not self.is_known(engine, late, tmp_path / "b")


def test_without_a_child_there_is_nothing_to_forget() -> None:
    engine = EngineProcess({})
    engine.keep(())
    assert engine.kill() is None


EXAMPLES = tuple(Example(f"row-{n}", Content(prompt=f"{n}?", completion=f"{n * 7}!"), f"p{n}") for n in range(12))


def execute(
    engine: EngineProcess, job: Job, *, on_progress: Callable[[Progress], None] = lambda progress: None
) -> Result:
    return engine.run(
        job, on_progress=on_progress, watch=lambda: None, wants_yield=lambda: False, deadline_s=DEADLINE_S
    )
