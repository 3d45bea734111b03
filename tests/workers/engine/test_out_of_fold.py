"""What is kept of the folds' adapters, how little the compression loses, and being interrupted."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from service.domain.adapters import Recipe
from service.domain.engine import TrainingSet, Yielded
from tests.workers.engine.small_data import encode_all, ignore_progress, never, without
from workers.engine.folds import Fold
from workers.engine.losses import label_logits
from workers.engine.out_of_fold import OutOfFold, fold_recipe, missing_folds, top_predictions, train_fold
from workers.engine.resident import Resident
from workers.engine.tokens import collate
from workers.engine.training import fingerprint, train

VOCABULARY = 259


def kl(reference: torch.Tensor, logprobs: torch.Tensor) -> torch.Tensor:
    return (reference.exp() * (reference - logprobs)).sum(-1)


@pytest.fixture
def short(recipe: Recipe) -> Recipe:
    return recipe.model_copy(update={"epochs": 2})


def run(resident: Resident, data: TrainingSet, recipe: Recipe, fold: Fold, place: Path) -> Yielded | None:
    tokens = encode_all(resident, data)
    return train_fold(
        resident,
        data,
        recipe,
        tokens,
        fold,
        place,
        checkpoint=place / "checkpoint",
        progress=ignore_progress,
        should_yield=never,
    )


def mark_of(resident: Resident, data: TrainingSet, recipe: Recipe) -> str:
    return fingerprint(resident, data, recipe, encode_all(resident, data))


class TestTrainFold:
    def test_the_predictions_are_those_of_training_without_the_fold(
        self, resident: Resident, data: TrainingSet, short: Recipe, tmp_path: Path
    ) -> None:
        mark, tokens = mark_of(resident, data, short), encode_all(resident, data)
        fold = missing_folds(data, [tmp_path], mark, (6,))[0]
        run(resident, data, short, fold, tmp_path)
        rest = without(data, *fold.members)
        train(
            resident,
            rest,
            fold_recipe(short, fold),
            tokens,
            checkpoint=tmp_path / "c",
            progress=ignore_progress,
            should_yield=never,
        )
        chosen = [tokens[name] for name in sorted(fold.members)]
        with torch.no_grad():
            logits, _ = label_logits(resident.model, collate(chosen, resident.pad_id))
        targets = OutOfFold.load([tmp_path], mark, VOCABULARY).targets(sorted(fold.members))
        whole = torch.cat([target.spread(VOCABULARY) for target in targets])
        assert float(kl(logits.log_softmax(-1), whole).mean()) < 0.03

    def test_finished_folds_are_skipped(
        self, resident: Resident, data: TrainingSet, short: Recipe, tmp_path: Path
    ) -> None:
        mark = mark_of(resident, data, short)
        before = missing_folds(data, [tmp_path], mark, (3,))
        run(resident, data, short, before[0], tmp_path)
        assert missing_folds(data, [tmp_path], mark, (3,)) == before[1:]

    def test_finished_folds_may_lie_in_several_places(
        self, resident: Resident, data: TrainingSet, short: Recipe, tmp_path: Path
    ) -> None:
        mark = mark_of(resident, data, short)
        every = missing_folds(data, [], mark, (3,))
        places = [tmp_path / "one", tmp_path / "other"]
        for fold, place in zip(every, places, strict=False):
            run(resident, data, short, fold, place)
        assert missing_folds(data, places, mark, (3,)) == every[2:]
        assert OutOfFold.load(places, mark, VOCABULARY).covers(every[0].members | every[1].members)

    def test_the_predictions_of_another_anchor_count_as_missing(
        self, resident: Resident, data: TrainingSet, short: Recipe, tmp_path: Path
    ) -> None:
        fold = missing_folds(data, [tmp_path], mark_of(resident, data, short), (3,))[0]
        run(resident, data, short, fold, tmp_path)
        other = mark_of(resident, data, short.model_copy(update={"seed": 99}))
        assert len(missing_folds(data, [tmp_path], other, (3,))) == 3
        assert not OutOfFold.load([tmp_path], other, VOCABULARY).covers(fold.members)

    def test_an_interrupted_fold_goes_on_where_it_was(
        self, resident: Resident, data: TrainingSet, short: Recipe, tmp_path: Path
    ) -> None:
        mark, tokens = mark_of(resident, data, short), encode_all(resident, data)
        fold = missing_folds(data, [tmp_path], mark, (3,))[0]
        seen: list[int] = []
        checkpoint = tmp_path / "checkpoint"

        def go_on(resume: Path | None, *, interrupted: bool) -> Yielded | None:
            return train_fold(
                resident,
                data,
                short,
                tokens,
                fold,
                tmp_path / "torn",
                checkpoint=checkpoint,
                resume=resume,
                progress=lambda progress: seen.append(progress.done),
                should_yield=lambda: interrupted,
            )

        first = go_on(None, interrupted=True)
        assert not (tmp_path / "torn").exists()
        second = go_on(checkpoint, interrupted=False)
        run(resident, data, short, fold, tmp_path / "whole")
        torn, whole = (load_file(tmp_path / place / "0-0.safetensors") for place in ("torn", "whole"))
        assert isinstance(first, Yielded)
        assert second is None
        assert seen == list(range(1, 11))
        assert all(torch.equal(torn[name], whole[name]) for name in whole)

    def test_nothing_but_predictions_is_left(
        self, resident: Resident, data: TrainingSet, short: Recipe, tmp_path: Path
    ) -> None:
        run(resident, data, short, Fold(0, 2, frozenset({"row-1"})), tmp_path)
        assert [file.name for file in tmp_path.iterdir()] == ["0-2.safetensors"]

    def test_a_fold_of_everything_is_what_the_start_predicts(
        self, resident: Resident, data: TrainingSet, short: Recipe, tmp_path: Path
    ) -> None:
        every = frozenset(example.id for example in data.examples)
        run(resident, data, short, Fold(0, 0, every), tmp_path)
        found = OutOfFold.load([tmp_path], mark_of(resident, data, short), VOCABULARY)
        assert found.covers(every)


class TestOutOfFold:
    def test_predictions_are_cut_instance_by_instance(self, resident: Resident, data: TrainingSet) -> None:
        tokens = [encode_all(resident, data)[example.id] for example in data.examples]
        found = top_predictions(resident, tokens)
        assert [len(one.rest) for one in found] == [one.label_count for one in tokens]

    def test_a_torn_file_is_as_good_as_absent(self, tmp_path: Path, data: TrainingSet) -> None:
        (tmp_path / "0-0.safetensors").write_bytes(b"torn")
        assert len(missing_folds(data, [tmp_path], "mark", (3,))) == 3
        assert not OutOfFold.load([tmp_path], "mark", VOCABULARY).found
