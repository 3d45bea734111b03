"""Training out of fold on a real tiny model: one fold a job, and the last says what updates are to be expected."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from service.domain.adapters import Recipe
from service.domain.engine import (
    Anchor,
    FoldResult,
    InfluenceJob,
    OutOfFoldJob,
    TrainingSet,
    TrainJob,
    Yielded,
)
from service.domain.ledger import Edit
from tests.workers.engine.jobs import anchor, answer, run, weights
from tests.workers.engine.small_data import ignore_progress, never
from workers.engine.engine import Engine
from workers.engine.errors import EngineRefusal

pytestmark = pytest.mark.slow


class TestOutOfFold:
    @pytest.fixture
    def few(self, data: TrainingSet) -> TrainingSet:
        """Three people, so that there are three folds a partition."""
        people = tuple(replace(example, subject=f"person {i % 3}") for i, example in enumerate(data.examples))
        return replace(data, examples=people)

    @pytest.fixture
    def short(self, recipe: Recipe) -> Recipe:
        return recipe.model_copy(update={"epochs": 2, "erasure_vectors": False})

    def train(self, engine: Engine, job: OutOfFoldJob) -> FoldResult:
        result = engine.run(job, progress=ignore_progress, should_yield=never)
        assert isinstance(result, FoldResult)
        return result

    def test_a_fold_a_job_until_all_are_done(
        self, engine: Engine, few: TrainingSet, short: Recipe, tmp_path: Path
    ) -> None:
        done: tuple[Path, ...] = ()
        results = []
        for number in range(6):
            out = tmp_path / str(number)
            results.append(self.train(engine, OutOfFoldJob(few, short, done, out)))
            assert [path.name for path in out.iterdir()] == ["fold"]
            done = (*done, out / "fold")
        assert [result.fold for result in results] == ["0-0", "0-1", "0-2", "1-0", "1-1", "1-2"]
        assert [result.remaining for result in results] == [5, 4, 3, 2, 1, 0]
        assert results[0].seconds.keys() == {"loading", "training"}
        with pytest.raises(EngineRefusal, match="no-fold"):
            self.train(engine, OutOfFoldJob(few, short, done, tmp_path / "more"))

    def test_the_folds_are_as_many_as_the_capability_says(
        self, engine: Engine, few: TrainingSet, short: Recipe, tmp_path: Path
    ) -> None:
        anchor = run(engine, TrainJob(few, short, tmp_path / "anchor"))
        (shown,) = [capability for capability in anchor.capabilities if capability.name == "out-of-fold"]
        first = self.train(engine, OutOfFoldJob(few, short, (), tmp_path / "fold"))
        assert shown.reason is not None
        assert shown.reason.startswith(f"0 of {first.remaining + 1} folds are done")

    def test_one_that_yields_ends_with_the_same_predictions(
        self, engine: Engine, few: TrainingSet, short: Recipe, tmp_path: Path
    ) -> None:
        self.train(engine, OutOfFoldJob(few, short, (), tmp_path / "straight"))
        first = OutOfFoldJob(few, short, (), tmp_path / "first")
        assert isinstance(engine.run(first, progress=ignore_progress, should_yield=lambda: True), Yielded)
        assert [path.name for path in first.out.iterdir()] == ["checkpoint"]
        again = OutOfFoldJob(few, short, (), tmp_path / "again", resume=first.out / "checkpoint")
        self.train(engine, again)
        straight, resumed = (load_file(tmp_path / name / "fold" / "0-0.safetensors") for name in ("straight", "again"))
        assert all(torch.equal(resumed[name], straight[name]) for name in straight)

    def test_the_checkpoint_of_another_fold_is_refused(
        self, engine: Engine, few: TrainingSet, short: Recipe, tmp_path: Path
    ) -> None:
        first = OutOfFoldJob(few, short, (), tmp_path / "first")
        engine.run(first, progress=ignore_progress, should_yield=lambda: True)
        self.train(engine, OutOfFoldJob(few, short, (), tmp_path / "done"))
        other = OutOfFoldJob(few, short, (tmp_path / "done" / "fold",), tmp_path / "other", first.out / "checkpoint")
        with pytest.raises(EngineRefusal, match="checkpoint"):
            self.train(engine, other)

    def all_but_one(
        self, engine: Engine, data: TrainingSet, recipe: Recipe, line: Anchor, place: Path
    ) -> tuple[tuple[Path, ...], list[FoldResult]]:
        """Trains folds until only one is missing: where they lie, and what came with them."""
        done: tuple[Path, ...] = ()
        results: list[FoldResult] = []
        while not results or results[-1].remaining > 1:
            out = place / f"fold-{len(done)}"
            results.append(self.train(engine, OutOfFoldJob(data, recipe, done, out, anchor=line)))
            done = (*done, out / "fold")
        return done, results

    def test_the_last_one_says_what_updates_are_to_be_expected(
        self, engine: Engine, few: TrainingSet, short: Recipe, tmp_path: Path
    ) -> None:
        """By trying some, whose files are nobody's business; no other fold does, nor one without the anchor."""
        run(engine, TrainJob(few, short, tmp_path / "v1"))
        line = anchor(few, short, tmp_path / "v1")
        done, results = self.all_but_one(engine, few, short, line, tmp_path)
        last = self.train(engine, OutOfFoldJob(few, short, done, tmp_path / "last", anchor=line))
        alone = self.train(engine, OutOfFoldJob(few, short, done, tmp_path / "alone"))
        assert [result.predicted_fidelity for result in (*results, alone)] == [{}] * 6
        assert last.remaining == alone.remaining == 0
        assert last.predicted_fidelity.keys() == {"end-point", "out-of-fold"}
        assert all(value > 0 for value in last.predicted_fidelity.values())
        assert last.seconds.keys() == {"loading", "training", "verifying"}
        assert [path.name for path in (tmp_path / "last").iterdir()] == ["fold"]

    def test_the_last_one_expects_the_same_after_it_yielded(
        self, engine: Engine, few: TrainingSet, short: Recipe, tmp_path: Path
    ) -> None:
        run(engine, TrainJob(few, short, tmp_path / "v1"))
        line = anchor(few, short, tmp_path / "v1")
        done, _ = self.all_but_one(engine, few, short, line, tmp_path)
        straight = self.train(engine, OutOfFoldJob(few, short, done, tmp_path / "straight", anchor=line))
        first = OutOfFoldJob(few, short, done, tmp_path / "first", anchor=line)
        assert isinstance(engine.run(first, progress=ignore_progress, should_yield=lambda: True), Yielded)
        again = replace(first, out=tmp_path / "again", resume=first.out / "checkpoint")
        assert self.train(engine, again).predicted_fidelity == straight.predicted_fidelity != {}

    def test_nothing_is_expected_of_a_line_about_one_person(
        self, engine: Engine, data: TrainingSet, short: Recipe, tmp_path: Path
    ) -> None:
        """Without them no data are left to train on: both partitions predict what the start does."""
        one = replace(data, examples=tuple(replace(example, subject="person") for example in data.examples))
        run(engine, TrainJob(one, short, tmp_path / "v1"))
        line = anchor(one, short, tmp_path / "v1")
        done, _ = self.all_but_one(engine, one, short, line, tmp_path)
        last = self.train(engine, OutOfFoldJob(one, short, done, tmp_path / "last", anchor=line))
        assert (last.fold, last.remaining) == ("1-0", 0)
        assert last.predicted_fidelity == {}

    def test_an_answer_afterwards_is_the_one_before(
        self, engine: Engine, few: TrainingSet, short: Recipe, tmp_path: Path
    ) -> None:
        run(engine, TrainJob(few, short, tmp_path / "v1"))
        line, edits = anchor(few, short, tmp_path / "v1"), (Edit("row-4", None),)
        answer(engine, InfluenceJob(line, edits, tmp_path / "before"))
        self.train(engine, OutOfFoldJob(few, short, (), tmp_path / "fold"))
        answer(engine, InfluenceJob(line, edits, tmp_path / "after"))
        assert weights(tmp_path / "after") == weights(tmp_path / "before")
