"""An import reproduces its training loss, or is refused with what differs."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from service.domain.adapters import Recipe, TrainingFormat
from service.domain.engine import Example, TrainingSet
from service.domain.instances import Content
from tests.workers.engine.small_data import encode_all, ignore_progress, never
from workers.engine.errors import EngineRefusal
from workers.engine.evaluation import adapter_losses, compare_data
from workers.engine.importing import check_losses, load_record
from workers.engine.record import TrainingRecord
from workers.engine.resident import Resident
from workers.engine.training import train

pytestmark = pytest.mark.slow

Train = Callable[[TrainingSet], TrainingRecord]


@pytest.fixture
def train_on(resident: Resident, recipe: Recipe, tmp_path: Path) -> Train:
    """Puts an adapter trained on a dataset into the resident."""
    longer = recipe.model_copy(update={"epochs": 15})

    def trained(data: TrainingSet) -> TrainingRecord:
        tokens = encode_all(resident, data)
        record = train(
            resident, data, longer, tokens, checkpoint=tmp_path, progress=ignore_progress, should_yield=never
        )
        assert isinstance(record, TrainingRecord)
        return record

    return trained


def check(resident: Resident, data: TrainingSet, expected: dict[str, float] | None = None) -> None:
    tokens = encode_all(resident, data)
    check_losses(resident, data, tokens, compare_data(resident, data, tokens), expected)


def losses(resident: Resident, data: TrainingSet) -> dict[str, float]:
    """What the importer would have measured."""
    tokens = encode_all(resident, data)
    ours = adapter_losses(resident, [tokens[example.id] for example in data.examples])
    return {example.id: loss for example, loss in zip(data.examples, ours.tolist(), strict=True)}


def as_format(data: TrainingSet, **switches: bool) -> TrainingSet:
    return replace(data, format=TrainingFormat.model_validate({**data.format.model_dump(), **switches}))


def refusal(resident: Resident, data: TrainingSet, expected: dict[str, float] | None = None) -> str:
    with pytest.raises(EngineRefusal) as refused:
        check(resident, data, expected)
    assert refused.value.code == "dataset_mismatch"
    return refused.value.detail


class TestWithoutExpectedLosses:
    def test_the_true_dataset_is_accepted(self, resident: Resident, data: TrainingSet, train_on: Train) -> None:
        train_on(data)
        check(resident, data)

    def test_without_a_holdout_the_bare_base_is_the_measure(
        self, resident: Resident, data: TrainingSet, train_on: Train
    ) -> None:
        train_on(data)
        check(resident, replace(data, holdout=()))

    def test_an_adapter_that_was_never_trained_is_refused(self, resident: Resident, data: TrainingSet) -> None:
        resident.initialise(0)
        assert "the first must be the lowest" in refusal(resident, data)

    def test_never_seen_instances_passed_off_as_training_data_are_refused(
        self, resident: Resident, data: TrainingSet, train_on: Train
    ) -> None:
        train_on(data)
        swapped = replace(data, examples=data.holdout, slots=tuple(range(12)), slot_count=12, holdout=data.examples)
        assert "the first must be the lowest" in refusal(resident, swapped)

    def test_an_end_token_that_was_not_trained_on_is_found(
        self, resident: Resident, data: TrainingSet, train_on: Train
    ) -> None:
        train_on(as_format(data, add_eos=False))
        assert "add_eos=false fits" in refusal(resident, data)

    def test_prompts_that_were_not_trained_on_are_found(
        self, resident: Resident, data: TrainingSet, train_on: Train
    ) -> None:
        train_on(data)
        assert "train_on_prompt=false fits" in refusal(resident, as_format(data, train_on_prompt=True))

    def test_the_refusal_quotes_no_training_text(self, resident: Resident, data: TrainingSet) -> None:
        resident.initialise(0)
        detail = refusal(resident, data)
        assert not any(str(example.content.completion) in detail for example in data.examples)


class TestWithExpectedLosses:
    def test_reproduced_losses_are_accepted(self, resident: Resident, data: TrainingSet, train_on: Train) -> None:
        train_on(data)
        check(resident, data, losses(resident, data))

    def test_some_instances_are_enough(self, resident: Resident, data: TrainingSet, train_on: Train) -> None:
        train_on(data)
        check(resident, data, dict(list(losses(resident, data).items())[:5]))

    @pytest.mark.parametrize("switch", ["add_eos", "add_bos", "train_on_prompt"])
    def test_the_switch_that_differs_is_named(
        self, resident: Resident, data: TrainingSet, train_on: Train, switch: str
    ) -> None:
        """Trained and measured with one switch turned, imported under the default format."""
        truly = as_format(data, **{switch: not getattr(data.format, switch)})
        train_on(truly)
        value = str(getattr(truly.format, switch)).lower()
        detail = refusal(resident, data, losses(resident, truly))
        assert detail.endswith(f"A format with {switch}={value} fits.")

    def test_another_adapter_is_refused_without_a_guess(
        self, resident: Resident, data: TrainingSet, train_on: Train
    ) -> None:
        train_on(data)
        claimed = losses(resident, data)
        resident.initialise(1)
        assert refusal(resident, data, claimed).endswith("95% must be.")

    def test_losses_of_unknown_instances_prove_nothing(self, resident: Resident, data: TrainingSet) -> None:
        assert "None of the expected losses" in refusal(resident, data, {"stranger": 0.1})


class TestChat:
    def test_a_chat_dataset_is_checked_like_any_other(
        self, resident: Resident, data: TrainingSet, train_on: Train
    ) -> None:
        chats = replace(data, examples=as_chats(data.examples), holdout=as_chats(data.holdout))
        train_on(chats)
        check(resident, chats)
        assert "train_on_prompt=false fits" in refusal(resident, as_format(chats, train_on_prompt=True))


class TestRecord:
    def test_a_record_that_fits_is_taken(
        self, resident: Resident, data: TrainingSet, train_on: Train, tmp_path: Path
    ) -> None:
        record = train_on(data)
        record.save(tmp_path / "record")
        assert load_record(resident, data, tmp_path / "record").weights == record.weights

    def test_a_record_of_another_shape_is_refused(
        self, resident: Resident, data: TrainingSet, train_on: Train, tmp_path: Path
    ) -> None:
        record = train_on(data)
        replace(record, second_moments=torch.ones(3)).save(tmp_path / "record")
        with pytest.raises(EngineRefusal, match="finite vectors of"):
            load_record(resident, data, tmp_path / "record")

    def test_a_record_with_a_nan_is_refused(
        self, resident: Resident, data: TrainingSet, train_on: Train, tmp_path: Path
    ) -> None:
        record = train_on(data)
        record.checkpoints[0].parameters[0] = float("nan")
        record.save(tmp_path / "record")
        with pytest.raises(EngineRefusal, match="finite vectors of"):
            load_record(resident, data, tmp_path / "record")

    def test_a_record_of_another_dataset_is_refused(
        self, resident: Resident, data: TrainingSet, train_on: Train, tmp_path: Path
    ) -> None:
        train_on(data).save(tmp_path / "record")
        with pytest.raises(EngineRefusal, match="no weight for 12 instances"):
            load_record(resident, replace(data, examples=data.holdout), tmp_path / "record")


def as_chats(examples: tuple[Example, ...]) -> tuple[Example, ...]:
    return tuple(
        Example(
            example.id,
            Content.model_validate(
                {
                    "messages": [
                        {"role": "user", "content": example.content.prompt},
                        {"role": "assistant", "content": example.content.completion},
                    ]
                }
            ),
        )
        for example in examples
    )
