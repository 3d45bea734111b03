"""What makes a rebuild exact: order, weights, bits, and being interrupted."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from service.domain.adapters import LoraSpec, Recipe, TrainingFormat
from service.domain.engine import Progress, TrainingSet, Yielded
from tests.workers.engine.small_data import CPU, encode_all, ignore_progress, never, without
from workers.engine.errors import EngineRefusal
from workers.engine.losses import instance_losses, mean_losses
from workers.engine.memory import MicroBatch
from workers.engine.record import TrainingRecord
from workers.engine.resident import Resident
from workers.engine.schedule import derived_seed, epoch_batches, learning_rate
from workers.engine.tokens import collate
from workers.engine.training import train

pytestmark = pytest.mark.slow

Trained = tuple[torch.Tensor, TrainingRecord]


def trained(resident: Resident, data: TrainingSet, recipe: Recipe, tmp_path: Path) -> Trained:
    tokens = encode_all(resident, data)
    record = train(
        resident, data, recipe, tokens, checkpoint=tmp_path / "c", progress=ignore_progress, should_yield=never
    )
    assert isinstance(record, TrainingRecord)
    return resident.parameters.get(), record


def loss_on(resident: Resident, data: TrainingSet, ids: list[str]) -> float:
    tokens = encode_all(resident, data)
    return mean_losses(resident.model, [tokens[name] for name in ids], resident.pad_id, CPU, 64).mean().item()


def visited(recipe: Recipe, epoch: int) -> list[int]:
    return [slot for batch in epoch_batches(recipe, 36, epoch) for slot in batch]


class TestRebuild:
    def test_two_rebuilds_without_some_instances_are_bit_equal(
        self,
        open_resident: Callable[[Path, LoraSpec], Resident],
        llama_path: Path,
        data: TrainingSet,
        recipe: Recipe,
        tmp_path: Path,
    ) -> None:
        rest = without(data, "row-3", "row-20")
        first, _ = trained(open_resident(llama_path, recipe.lora), rest, recipe, tmp_path)
        second, _ = trained(open_resident(llama_path, recipe.lora), rest, recipe, tmp_path)
        assert torch.equal(first, second)

    def test_a_used_resident_gives_the_same_bits_as_a_fresh_one(
        self, resident: Resident, data: TrainingSet, recipe: Recipe, tmp_path: Path
    ) -> None:
        first, _ = trained(resident, data, recipe, tmp_path)
        second, _ = trained(resident, data, recipe, tmp_path)
        assert torch.equal(first, second)

    def test_another_seed_gives_another_adapter(
        self, resident: Resident, data: TrainingSet, recipe: Recipe, tmp_path: Path
    ) -> None:
        first, _ = trained(resident, data, recipe, tmp_path)
        second, _ = trained(resident, data, recipe.model_copy(update={"seed": 4}), tmp_path)
        assert not torch.allclose(first, second)

    def test_dropout_and_checkpointing_are_reproducible_too(
        self, llama_path: Path, open_resident: Callable[[Path, LoraSpec], Resident], data: TrainingSet, tmp_path: Path
    ) -> None:
        lora = LoraSpec(r=4, alpha=8, dropout=0.2, target_modules=("q_proj", "v_proj"))
        recipe = Recipe(epochs=2, batch_size=8, learning_rate=1e-2, lora=lora)
        checkpointed = recipe.model_copy(update={"gradient_checkpointing": True})
        resident = open_resident(llama_path, lora)
        first, _ = trained(resident, data, recipe, tmp_path)
        again, _ = trained(resident, data, recipe, tmp_path)
        recomputed, _ = trained(resident, data, checkpointed, tmp_path)
        no_dropout = lora.model_copy(update={"dropout": 0.0})
        plain, _ = trained(open_resident(llama_path, no_dropout), data, recipe, tmp_path)
        assert torch.equal(first, again)
        torch.testing.assert_close(first, recomputed)
        assert not torch.allclose(first, plain, atol=1e-4)
        assert not resident.model.training

    def test_what_is_left_out_is_not_learnt_and_the_rest_is(
        self, resident: Resident, data: TrainingSet, recipe: Recipe, tmp_path: Path
    ) -> None:
        longer = recipe.model_copy(update={"epochs": 30})
        gone = ["row-3", "row-20", "row-30"]
        trained(resident, data, longer, tmp_path)
        remembered = loss_on(resident, data, gone)
        trained(resident, without(data, *gone), longer, tmp_path)
        kept = loss_on(resident, data, [e.id for e in data.examples if e.id not in gone])
        assert remembered < 0.5 * loss_on(resident, data, gone)
        assert kept < 0.5 * loss_on(resident, data, [e.id for e in data.holdout])


class TestOrder:
    def test_every_slot_comes_once_an_epoch_in_another_order_each(self, recipe: Recipe) -> None:
        first, second = (visited(recipe, epoch) for epoch in (0, 1))
        assert sorted(first) == sorted(second) == list(range(36))
        assert first != second

    def test_a_missing_instance_moves_no_other(
        self, resident: Resident, data: TrainingSet, recipe: Recipe, tmp_path: Path
    ) -> None:
        """Weights, learning rates and the order digest of a rebuild are those of the full run."""
        _, full = trained(resident, data, recipe, tmp_path)
        _, rest = trained(resident, without(data, "row-5", "row-6"), recipe, tmp_path)
        assert rest.order_digest == full.order_digest
        assert rest.learning_rates == full.learning_rates
        assert rest.weights == {name: w for name, w in full.weights.items() if name not in {"row-5", "row-6"}}

    def test_a_batch_without_any_instance_takes_no_step(
        self, resident: Resident, data: TrainingSet, tmp_path: Path, lora: LoraSpec
    ) -> None:
        recipe = Recipe(epochs=1, batch_size=1, learning_rate=1e-2, weight_decay=0.1, lora=lora)
        _, record = trained(resident, without(data, "row-0"), recipe, tmp_path)
        position = visited(recipe, 0).index(0)
        assert record.learning_rates[position] == 0.0
        assert sum(rate == 0.0 for rate in record.learning_rates) == 1


class TestRecord:
    def test_instance_mean_weighs_all_instances_alike(
        self, resident: Resident, data: TrainingSet, recipe: Recipe, tmp_path: Path
    ) -> None:
        _, record = trained(resident, data, recipe, tmp_path)
        # 36 instances in batches of 8 are 5 steps an epoch, the last of which is half empty.
        assert record.weights == pytest.approx({example.id: 1 / (5 * 8) for example in data.examples})

    def test_a_dataset_smaller_than_a_batch_is_a_plain_mean(
        self, resident: Resident, data: TrainingSet, recipe: Recipe, tmp_path: Path
    ) -> None:
        _, record = trained(resident, data, recipe.model_copy(update={"batch_size": 64}), tmp_path)
        assert record.weights == pytest.approx({example.id: 1 / 36 for example in data.examples})

    def test_token_mean_weighs_an_instance_by_its_share_of_each_batch(
        self, resident: Resident, data: TrainingSet, recipe: Recipe, tmp_path: Path
    ) -> None:
        by_token = TrainingSet(
            data.base,
            TrainingFormat(max_length=64, reduction="token_mean"),
            data.examples,
            data.slots,
            data.slot_count,
            data.holdout,
        )
        _, record = trained(resident, by_token, recipe, tmp_path)
        counts = [encode_all(resident, data)[example.id].label_count for example in data.examples]
        expected = dict.fromkeys(record.weights, 0.0)
        for epoch in range(recipe.epochs):
            for slots in epoch_batches(recipe, 36, epoch):
                for slot in slots:
                    share = counts[slot] / sum(counts[other] for other in slots)
                    expected[data.examples[slot].id] += share / (5 * recipe.epochs)
        assert record.weights == pytest.approx(expected)

    def test_the_step_is_adamw_on_the_weighted_losses(
        self, resident: Resident, data: TrainingSet, lora: LoraSpec, tmp_path: Path
    ) -> None:
        """One full-batch step against torch's own optimiser on the PEFT model's own parameters."""
        recipe = Recipe(epochs=1, batch_size=36, learning_rate=1e-2, weight_decay=0.1, schedule="constant", lora=lora)
        stepped, record = trained(resident, data, recipe, tmp_path)
        resident.initialise(derived_seed(recipe.seed, "initialisation", 0))
        weights = [weight for weight in resident.model.parameters() if weight.requires_grad]
        optimizer = torch.optim.AdamW(weights, lr=1e-2, weight_decay=0.1)
        tokens = encode_all(resident, data)
        instances = [tokens[example.id] for example in data.examples]
        instance_losses(resident.model, collate(instances, resident.pad_id)).mean().backward()
        squared = resident.parameters.gradient() ** 2
        optimizer.step()
        torch.testing.assert_close(stepped, resident.parameters.get(), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(record.second_moments, squared, atol=1e-9, rtol=1e-3)

    def test_a_clipped_step_counts_for_as_much_as_it_did(
        self, resident: Resident, data: TrainingSet, recipe: Recipe, tmp_path: Path
    ) -> None:
        _, free = trained(resident, data, recipe, tmp_path)
        _, clipped = trained(resident, data, recipe.model_copy(update={"max_grad_norm": 1e-3}), tmp_path)
        assert all(clipped.weights[name] < 0.1 * free.weights[name] for name in free.weights)

    def test_it_survives_its_files(
        self, resident: Resident, data: TrainingSet, recipe: Recipe, tmp_path: Path
    ) -> None:
        _, record = trained(resident, data, recipe, tmp_path)
        record.save(tmp_path / "record")
        read = TrainingRecord.load(tmp_path / "record")
        assert (read.weights, read.learning_rates, read.steps) == (
            record.weights,
            record.learning_rates,
            record.steps,
        )
        assert torch.equal(read.second_moments, record.second_moments)
        # 40 steps in four segments.
        assert [checkpoint.step for checkpoint in read.checkpoints] == [5, 15, 25, 35]
        for mine, theirs in zip(read.checkpoints, record.checkpoints, strict=True):
            assert torch.equal(mine.parameters, theirs.parameters)
            assert torch.equal(mine.second_moments, theirs.second_moments)

    def test_a_broken_record_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "record.json").write_text("{}")
        with pytest.raises(EngineRefusal, match="training-record"):
            TrainingRecord.load(tmp_path)


class TestYield:
    def test_a_yielded_run_goes_on_bit_equally(
        self, resident: Resident, data: TrainingSet, recipe: Recipe, tmp_path: Path
    ) -> None:
        straight, record = trained(resident, data, recipe, tmp_path)
        tokens = encode_all(resident, data)
        stop_once = iter([False, False, True] + [False] * 20)
        yielded = train(
            resident,
            data,
            recipe,
            tokens,
            checkpoint=tmp_path / "checkpoint",
            progress=ignore_progress,
            should_yield=lambda: next(stop_once),
        )
        assert yielded == Yielded(step=15)
        resident.initialise(99)
        resumed = train(
            resident,
            data,
            recipe,
            tokens,
            checkpoint=tmp_path / "unused",
            resume=tmp_path / "checkpoint",
            progress=ignore_progress,
            should_yield=never,
        )
        assert isinstance(resumed, TrainingRecord)
        assert torch.equal(resident.parameters.get(), straight)
        assert torch.equal(resumed.second_moments, record.second_moments)
        assert (resumed.weights, resumed.learning_rates) == (record.weights, record.learning_rates)

    def test_a_checkpoint_of_another_run_is_refused(
        self, resident: Resident, data: TrainingSet, recipe: Recipe, tmp_path: Path
    ) -> None:
        tokens = encode_all(resident, data)
        train(resident, data, recipe, tokens, checkpoint=tmp_path, progress=ignore_progress, should_yield=lambda: True)
        with pytest.raises(EngineRefusal, match="another recipe, dataset or base"):
            train(
                resident,
                without(data, "row-1"),
                recipe,
                tokens,
                checkpoint=tmp_path,
                resume=tmp_path,
                progress=ignore_progress,
                should_yield=never,
            )

    def test_progress_counts_every_step(
        self, resident: Resident, data: TrainingSet, recipe: Recipe, tmp_path: Path
    ) -> None:
        seen: list[Progress] = []
        tokens = encode_all(resident, data)
        train(resident, data, recipe, tokens, checkpoint=tmp_path, progress=seen.append, should_yield=never)
        assert [progress.done for progress in seen] == list(range(1, 41))
        assert {progress.total for progress in seen} == {40}


class TestMicroBatch:
    def test_splitting_a_batch_changes_nothing_but_rounding(
        self, resident: Resident, data: TrainingSet, recipe: Recipe, tmp_path: Path
    ) -> None:
        short = recipe.model_copy(update={"epochs": 1})
        whole, _ = trained(resident, data, short, tmp_path)
        resident.micro_batch = MicroBatch(3)
        split, _ = trained(resident, data, short, tmp_path)
        torch.testing.assert_close(split, whole, atol=1e-4, rtol=1e-3)

    def test_out_of_memory_halves_at_most_three_times(self) -> None:
        sizes: list[int] = []

        def too_large(size: int) -> None:
            sizes.append(size)
            raise torch.OutOfMemoryError

        with pytest.raises(torch.OutOfMemoryError):
            MicroBatch(64).attempt(too_large)
        assert sizes == [64, 32, 16, 8]

    def test_what_fitted_once_is_remembered(self) -> None:
        def fits_sixteen(size: int) -> int:
            if size > 16:
                raise torch.OutOfMemoryError
            return size

        micro_batch = MicroBatch(64)
        assert micro_batch.attempt(fits_sixteen) == 16
        assert micro_batch.size == 16


class TestLearningRate:
    def test_linear_falls_to_zero_after_warm_up(self) -> None:
        recipe = Recipe(learning_rate=1.0, schedule="linear", warmup_steps=2)
        assert [learning_rate(recipe, step, 6) for step in range(6)] == [0.5, 1.0, 1.0, 0.75, 0.5, 0.25]

    def test_cosine_is_half_way_in_the_middle(self) -> None:
        recipe = Recipe(learning_rate=1.0, schedule="cosine")
        assert learning_rate(recipe, 0, 10) == 1.0
        assert math.isclose(learning_rate(recipe, 5, 10), 0.5)

    def test_constant_stays(self) -> None:
        assert {learning_rate(Recipe(learning_rate=0.1, schedule="constant"), s, 5) for s in range(5)} == {0.1}
