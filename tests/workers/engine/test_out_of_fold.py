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
from workers.engine.top_predictions import TopPredictions, geometric_mean
from workers.engine.training import fingerprint, train

VOCABULARY = 259


def random_logprobs(seed: int, positions: int = 40, vocabulary: int = 500) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (3 * torch.randn(positions, vocabulary, generator=generator)).log_softmax(-1)


def kl(reference: torch.Tensor, logprobs: torch.Tensor) -> torch.Tensor:
    return (reference.exp() * (reference - logprobs)).sum(-1)


class TestTopPredictions:
    def test_the_divergence_is_nearly_the_whole_one(self) -> None:
        target, present = random_logprobs(1), random_logprobs(2)
        found = TopPredictions.of(target).kl(present).mean()
        assert float(found) == pytest.approx(float(kl(target, present).mean()), rel=0.05)

    def test_the_divergence_is_never_above_the_whole_one(self) -> None:
        target, present = random_logprobs(1), random_logprobs(2)
        assert (TopPredictions.of(target, 8).kl(present) <= kl(target, present) + 1e-5).all()

    def test_the_same_predictions_are_not_apart(self) -> None:
        target = random_logprobs(1)
        assert float(TopPredictions.of(target).kl(target).abs().max()) < 1e-5

    def test_a_certain_prediction_gives_finite_numbers(self) -> None:
        certain = torch.full((1, 100), -torch.inf).index_fill(1, torch.tensor([3]), 0.0).log_softmax(-1)
        assert torch.isfinite(TopPredictions.of(certain).kl(random_logprobs(1, 1, 100))).all()

    def test_the_divergence_has_a_gradient(self) -> None:
        logits = random_logprobs(2).clone().requires_grad_()
        TopPredictions.of(random_logprobs(1)).kl(logits.log_softmax(-1)).sum().backward()  # type: ignore[no-untyped-call]
        assert logits.grad is not None
        assert torch.isfinite(logits.grad).all()

    def test_the_geometric_mean_is_that_of_the_whole_predictions(self) -> None:
        one, other = random_logprobs(1), random_logprobs(2)
        found = geometric_mean([TopPredictions.of(one, 400), TopPredictions.of(other, 400)], 500)
        whole = ((one + other) / 2).log_softmax(-1)
        assert float(kl(whole, found.spread(500)).mean()) < 0.01

    def test_one_prediction_is_its_own_mean(self) -> None:
        only = TopPredictions.of(random_logprobs(1))
        assert geometric_mean([only], 500) is only


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
