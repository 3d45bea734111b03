"""Jobs in, files and results out, on a real tiny model."""

import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from service.domain.adapters import Recipe, TrainingFormat
from service.domain.engine import (
    AnchorResult,
    ImportJob,
    InfluenceJob,
    Progress,
    Published,
    Stage,
    TrainingSet,
    TrainJob,
    Yielded,
)
from service.domain.ledger import Edit
from service.domain.probes import TOLERANCE
from tests.workers.engine.jobs import anchor, answer, run, weights
from tests.workers.engine.small_data import ignore_progress, never, without
from workers.engine.engine import Engine
from workers.engine.errors import EngineRefusal
from workers.engine.export import export_adapter
from workers.engine.record import TrainingRecord
from workers.engine.resident import Resident

pytestmark = pytest.mark.slow


@pytest.fixture
def memorising(recipe: Recipe) -> Recipe:
    return recipe.model_copy(update={"epochs": 20})


def is_blank(engine: Engine) -> bool:
    """Whether no resident adapter has a weight or a gradient left."""
    tensors = [tensor for resident in engine._residents._adapters.values() for tensor in resident.parameters.tensors]
    return bool(tensors) and not any(tensor.any() or tensor.grad is not None for tensor in tensors)


def supported(result: AnchorResult) -> dict[str, bool]:
    return {capability.name: capability.supported for capability in result.capabilities}


class TestTrain:
    def test_it_leaves_an_adapter_and_an_anchor(
        self, engine: Engine, data: TrainingSet, memorising: Recipe, tmp_path: Path
    ) -> None:
        result = run(engine, TrainJob(data, memorising, tmp_path))
        assert {path.name for path in (tmp_path / "adapter").iterdir()} == {
            "adapter_config.json",
            "adapter_model.safetensors",
        }
        assert set(TrainingRecord.load(tmp_path / "anchor" / "record").weights) == {e.id for e in data.examples}
        assert result.base_digest == data.base.digest
        assert supported(result) == {
            "influence": True,
            "end-point": True,
            "trajectory": True,
            "out-of-fold": False,
            "rebuild": True,
            "E": True,
            "C": False,
            "M": True,
        }
        assert {"loading", "training", "checking", "exporting", "probing", "preparing"} <= result.seconds.keys()
        assert result.probe is not None
        assert result.probe.previous is None
        assert result.peak_bytes > 0

    def test_it_has_memorised(self, engine: Engine, data: TrainingSet, memorising: Recipe, tmp_path: Path) -> None:
        result = run(engine, TrainJob(data, memorising, tmp_path))
        assert result.after.retained is not None
        assert result.after.holdout is not None
        assert result.before.retained is not None
        assert result.after.retained < 0.5 * result.after.holdout
        assert result.after.retained < 0.5 * result.before.retained

    def test_stages_are_announced_in_order(
        self, engine: Engine, data: TrainingSet, recipe: Recipe, tmp_path: Path
    ) -> None:
        seen: list[Progress] = []
        engine.run(TrainJob(data, recipe, tmp_path), progress=seen.append, should_yield=never)
        stages = list(dict.fromkeys(progress.stage for progress in seen))
        assert stages[:4] == [Stage.loading, Stage.training, Stage.checking, Stage.exporting]
        assert Stage.preparing in stages

    def test_a_rebuild_that_yields_ends_with_the_same_bytes(
        self, engine: Engine, data: TrainingSet, recipe: Recipe, tmp_path: Path
    ) -> None:
        rest = without(data, "row-4")
        run(engine, TrainJob(rest, recipe, tmp_path / "straight"))
        first = TrainJob(rest, recipe, tmp_path / "first")
        yielded = engine.run(first, progress=ignore_progress, should_yield=lambda: True)
        assert isinstance(yielded, Yielded)
        assert not (first.out / "adapter").exists()
        run(engine, TrainJob(rest, recipe, tmp_path / "second", resume=first.out / "checkpoint"))
        assert weights(tmp_path / "second") == weights(tmp_path / "straight")

    def test_an_instance_that_cannot_be_encoded_is_refused_before_training(
        self, engine: Engine, data: TrainingSet, recipe: Recipe, tmp_path: Path
    ) -> None:
        short = replace(data, format=TrainingFormat(max_length=8))
        with pytest.raises(EngineRefusal, match="too-many-tokens"):
            run(engine, TrainJob(short, recipe, tmp_path))

    def test_without_a_holdout_nothing_can_be_claimed_as_measured(
        self, engine: Engine, data: TrainingSet, recipe: Recipe, tmp_path: Path
    ) -> None:
        result = run(engine, TrainJob(replace(data, holdout=()), recipe, tmp_path))
        assert not supported(result)["M"]
        assert result.after.holdout is None


class TestImport:
    @pytest.fixture
    def trained(self, engine: Engine, data: TrainingSet, memorising: Recipe, tmp_path: Path) -> Path:
        run(engine, TrainJob(data, memorising, tmp_path / "trained"))
        return tmp_path / "trained"

    def test_an_adapter_with_its_record_comes_back_unchanged(
        self, engine: Engine, data: TrainingSet, memorising: Recipe, trained: Path, tmp_path: Path
    ) -> None:
        record = trained / "anchor" / "record"
        out = tmp_path / "imported"
        result = run(engine, ImportJob(data, trained / "adapter", record, memorising, None, out))
        assert weights(out) == weights(trained)
        assert TrainingRecord.load(out / "anchor" / "record").steps == TrainingRecord.load(record).steps
        assert supported(result)["rebuild"]

    def test_without_record_and_recipe_it_cannot_be_rebuilt(
        self, engine: Engine, data: TrainingSet, trained: Path, tmp_path: Path
    ) -> None:
        out = tmp_path / "imported"
        result = run(engine, ImportJob(data, trained / "adapter", None, None, None, out))
        assert supported(result) == {
            "influence": True,
            "end-point": True,
            "trajectory": False,
            "out-of-fold": False,
            "rebuild": False,
            "E": False,
            "C": False,
            "M": True,
        }
        assert all(capability.reason for capability in result.capabilities if not capability.supported)
        assert not (out / "anchor" / "record").exists()

    def test_packed_training_cannot_use_influence_and_prepares_nothing(
        self, engine: Engine, data: TrainingSet, memorising: Recipe, trained: Path, tmp_path: Path
    ) -> None:
        packed = replace(data, format=data.format.model_copy(update={"packing": True}))
        out = tmp_path / "imported"
        result = run(engine, ImportJob(packed, trained / "adapter", None, memorising, None, out))
        assert not any(supported(result)[name] for name in ("influence", "end-point", "out-of-fold"))
        assert "preparing" not in result.seconds

    def test_the_wrong_dataset_leaves_nothing(
        self, engine: Engine, data: TrainingSet, trained: Path, tmp_path: Path
    ) -> None:
        swapped = replace(data, examples=data.holdout, slots=tuple(range(12)), slot_count=12, holdout=data.examples)
        with pytest.raises(EngineRefusal, match="dataset_mismatch"):
            run(engine, ImportJob(swapped, trained / "adapter", None, None, None, tmp_path / "imported"))
        assert not (tmp_path / "imported").exists()

    def test_a_trusted_import_is_not_checked(
        self, engine: Engine, data: TrainingSet, trained: Path, tmp_path: Path
    ) -> None:
        swapped = replace(data, examples=data.holdout, slots=tuple(range(12)), slot_count=12, holdout=data.examples)
        job = ImportJob(swapped, trained / "adapter", None, None, None, tmp_path / "imported", trusted=True)
        assert run(engine, job).after.retained is not None

    def test_one_without_effect_does_not_pass_the_gate(
        self, engine: Engine, resident: Resident, data: TrainingSet, tmp_path: Path
    ) -> None:
        resident.initialise(0)
        export_adapter(resident, "base", tmp_path / "fresh")
        job = ImportJob(data, tmp_path / "fresh", None, None, None, tmp_path / "out", trusted=True)
        with pytest.raises(EngineRefusal, match="publish-gate-no-effect"):
            run(engine, job)
        assert not (tmp_path / "out" / "anchor" / "preparation.json").exists(), "nothing is prepared for it"


class TestForeignAdapter:
    """Trained outside Lethe, by plain PEFT and torch, with a loss written from the format's definition."""

    @pytest.fixture
    def adapter(self, llama_path: Path, data: TrainingSet, tmp_path: Path) -> Path:
        tokenizer = AutoTokenizer.from_pretrained(llama_path)
        with warnings.catch_warnings():
            # PEFT asks transformers for something under a deprecated name.
            warnings.simplefilter("ignore", FutureWarning)
            model = get_peft_model(
                AutoModelForCausalLM.from_pretrained(llama_path),
                LoraConfig(task_type="CAUSAL_LM", r=8, lora_alpha=16, target_modules="all-linear"),
            )
        torch.manual_seed(0)
        optimizer = torch.optim.AdamW([w for w in model.parameters() if w.requires_grad], lr=1e-2)
        for _ in range(6):
            for example in data.examples:
                prompt = tokenizer(example.content.prompt, add_special_tokens=False)["input_ids"]
                target = [*tokenizer(example.content.completion, add_special_tokens=False)["input_ids"]]
                target.append(tokenizer.eos_token_id)
                ids, labels = torch.tensor([prompt + target]), torch.tensor([[-100] * len(prompt) + target])
                optimizer.zero_grad()
                model(input_ids=ids, labels=labels).loss.backward()
                optimizer.step()
        model.save_pretrained(tmp_path / "foreign")
        return tmp_path / "foreign"

    def test_it_is_taken_over(self, engine: Engine, adapter: Path, data: TrainingSet, tmp_path: Path) -> None:
        result = run(engine, ImportJob(data, adapter, None, None, None, tmp_path / "out"))
        assert result.after.retained is not None
        assert result.after.holdout is not None
        assert result.after.retained < result.after.holdout
        wrong = replace(data, format=data.format.model_copy(update={"train_on_prompt": True}))
        with pytest.raises(EngineRefusal, match="train_on_prompt=false fits"):
            run(engine, ImportJob(wrong, adapter, None, None, None, tmp_path / "wrong"))


class TestAnswer:
    def test_the_same_ledger_gives_the_same_bytes_whatever_ran_before(
        self, engine: Engine, data: TrainingSet, memorising: Recipe, tmp_path: Path
    ) -> None:
        run(engine, TrainJob(data, memorising, tmp_path / "v1"))
        line = anchor(data, memorising, tmp_path / "v1")
        edits = (Edit("row-1", None), Edit("row-7", None))
        first = answer(engine, InfluenceJob(line, edits, tmp_path / "a"))
        answer(engine, InfluenceJob(line, edits[:1], tmp_path / "b"))
        engine.keep(())
        answer(engine, InfluenceJob(line, edits, tmp_path / "c"))
        answer(Engine(device="cpu"), InfluenceJob(line, edits, tmp_path / "d"))
        assert weights(tmp_path / "a") == weights(tmp_path / "c") == weights(tmp_path / "d")
        assert weights(tmp_path / "a") not in (weights(tmp_path / "b"), weights(tmp_path / "v1"))
        assert {"loading", "exporting"} <= first.seconds.keys()

    def test_no_weights_stay_in_place_whether_a_job_ends_well_or_not(
        self, engine: Engine, data: TrainingSet, memorising: Recipe, tmp_path: Path
    ) -> None:
        run(engine, TrainJob(data, memorising, tmp_path / "v1"))
        assert is_blank(engine)
        line = anchor(data, memorising, tmp_path / "v1")
        answer(engine, InfluenceJob(line, (Edit("row-1", None),), tmp_path / "v2"))
        assert is_blank(engine)
        with pytest.raises(EngineRefusal, match="preparation"):
            answer(engine, InfluenceJob(replace(line, key="new", artefacts=tmp_path), (), tmp_path / "v3"))
        assert is_blank(engine)

    def test_what_is_removed_is_less_well_known(
        self, engine: Engine, data: TrainingSet, memorising: Recipe, tmp_path: Path
    ) -> None:
        run(engine, TrainJob(data, memorising, tmp_path / "v1"))
        line = anchor(data, memorising, tmp_path / "v1")
        v1 = Published("bot@v1", line.adapter)
        result = answer(engine, InfluenceJob(line, (Edit("row-1", None),), tmp_path / "v2", replaces=(v1,)))
        assert result.before.forget is not None
        assert result.after.forget is not None
        assert result.after.forget > result.before.forget
        assert result.probe is not None
        assert result.probe.previous == "bot@v1"
        distances = result.details["probe_distances"]
        assert isinstance(distances, dict)
        assert distances["version"] < 1e-5
        assert min(distances["base"], distances["previous"]) > TOLERANCE["float32"]
