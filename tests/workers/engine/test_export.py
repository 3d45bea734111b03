"""An exported version is an ordinary PEFT adapter, and the same bytes every time."""

import hashlib
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors import safe_open
from transformers import AutoModelForCausalLM

from service.domain.adapters import LoraSpec
from tests.workers.engine.small_data import CPU
from workers.engine.adapter_files import read_spec
from workers.engine.errors import EngineRefusal
from workers.engine.export import canonical_config, export_adapter
from workers.engine.resident import Resident

Open = Callable[[Path, LoraSpec], Resident]
IDS = torch.tensor([[5, 9, 40, 77, 200]])


def randomised(resident: Resident) -> Resident:
    """An adapter that changes every logit (a fresh one has B = 0 and changes none)."""
    generator = torch.Generator().manual_seed(0)
    resident.parameters.set(torch.randn(resident.parameters.size, generator=generator) * 0.1)
    return resident


@torch.no_grad()
def logits(model: torch.nn.Module) -> torch.Tensor:
    return torch.as_tensor(model(input_ids=IDS).logits)


def load_with_peft(base: Path, adapter: Path) -> PeftModel:
    with warnings.catch_warnings():
        # PEFT's own: a deprecated name of transformers, and that it fixes fan_in_fan_out for Conv1D itself.
        warnings.simplefilter("ignore")
        return PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter)


class TestRoundTrip:
    @pytest.mark.parametrize(
        "lora",
        [
            LoraSpec(r=4, alpha=8, target_modules=("q_proj", "v_proj")),
            LoraSpec(r=1, alpha=3.5, target_modules=("down_proj",)),
            LoraSpec(r=8, alpha=8, target_modules=("layers.1.self_attn.o_proj", "gate_proj")),
        ],
    )
    def test_peft_loads_a_llama_adapter_with_the_same_logits(
        self, open_resident: Open, llama_path: Path, tmp_path: Path, lora: LoraSpec
    ) -> None:
        resident = randomised(open_resident(llama_path, lora))
        export_adapter(resident, "base", tmp_path)
        loaded = load_with_peft(llama_path, tmp_path)
        torch.testing.assert_close(logits(loaded), logits(resident.model))
        assert not torch.allclose(logits(loaded), logits(AutoModelForCausalLM.from_pretrained(llama_path)))

    def test_peft_loads_a_gpt2_adapter_with_the_same_logits(
        self, open_resident: Open, gpt2_path: Path, tmp_path: Path
    ) -> None:
        lora = LoraSpec(r=3, alpha=6, target_modules=("c_attn", "c_proj", "c_fc"))
        resident = randomised(open_resident(gpt2_path, lora))
        export_adapter(resident, "base", tmp_path)
        torch.testing.assert_close(logits(load_with_peft(gpt2_path, tmp_path)), logits(resident.model))

    def test_a_resident_loads_what_it_exported_bit_for_bit(
        self, open_resident: Open, llama_path: Path, lora: LoraSpec, tmp_path: Path
    ) -> None:
        first = randomised(open_resident(llama_path, lora))
        export_adapter(first, "base", tmp_path)
        second = open_resident(llama_path, read_spec(tmp_path, first.base.linear_modules))
        second.load_adapter(tmp_path)
        assert second.lora == first.lora
        assert torch.equal(second.parameters.get(), first.parameters.get())


class TestFiles:
    def test_the_configuration_is_minimal_sorted_and_stable(
        self, open_resident: Open, llama_path: Path, tmp_path: Path
    ) -> None:
        one = open_resident(llama_path, LoraSpec(r=4, alpha=8, target_modules=("v_proj", "q_proj")))
        export_adapter(one, "llama", tmp_path)
        assert json.loads((tmp_path / "adapter_config.json").read_text()) == {
            "base_model_name_or_path": "llama",
            "bias": "none",
            "inference_mode": True,
            "lora_alpha": 8,
            "peft_type": "LORA",
            "r": 4,
            "target_modules": ["q_proj", "v_proj"],
            "task_type": "CAUSAL_LM",
        }
        assert (tmp_path / "adapter_config.json").read_text() == canonical_config(one.lora, "llama")

    @pytest.mark.slow
    def test_two_processes_write_the_same_bytes(self, llama_path: Path, tmp_path: Path) -> None:
        """The order of Python's sets, and with it PEFT's own files, changes with the hash seed."""
        script = (
            "import sys, torch; from pathlib import Path; from service.domain.engine import Base\n"
            "from service.domain.adapters import LoraSpec; from workers.engine.loading import open_base\n"
            "from workers.engine.resident import Resident; from workers.engine.export import export_adapter\n"
            "base = open_base(Base(sys.argv[1], None, None), torch.device('cpu'))\n"
            "resident = Resident(base, LoraSpec(r=2)); resident.initialise(0)\n"
            "export_adapter(resident, 'base', Path(sys.argv[2]))\n"
        )
        digests = []
        for seed in ("1", "2"):
            out = tmp_path / seed
            environment = {**os.environ, "PYTHONHASHSEED": seed, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path.cwd())}
            subprocess.run(
                [sys.executable, "-c", script, str(llama_path), str(out)],
                check=True,
                env=environment,
                capture_output=True,
            )
            digests.append({path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in out.iterdir()})
        assert digests[0] == digests[1]
        assert set(digests[0]) == {"adapter_config.json", "adapter_model.safetensors"}

    def test_keys_are_those_of_peft(self, resident: Resident, tmp_path: Path) -> None:
        export_adapter(resident, "base", tmp_path)
        with safe_open(tmp_path / "adapter_model.safetensors", "pt") as file:
            keys = tuple(sorted(file.keys()))
        assert keys == resident.parameters.names
        assert all(key.startswith("base_model.model.model.layers.") for key in keys)

    def test_a_weight_that_is_not_finite_is_never_published(self, resident: Resident, tmp_path: Path) -> None:
        broken = resident.parameters.get()
        broken[17] = float("nan")
        resident.parameters.set(broken)
        with pytest.raises(EngineRefusal, match="not finite"):
            export_adapter(resident, "base", tmp_path / "adapter")
        assert not (tmp_path / "adapter").exists()


class TestForeignAdapters:
    def foreign(self, base: Path, out: Path, **options: object) -> PeftModel:
        """An adapter made by plain PEFT, with random weights."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = get_peft_model(
                AutoModelForCausalLM.from_pretrained(base), LoraConfig(task_type="CAUSAL_LM", **options)
            )
        torch.manual_seed(0)
        for name, weight in model.named_parameters():
            if "lora_" in name:
                torch.nn.init.normal_(weight, std=0.1)
        model.save_pretrained(out)
        return model.eval()

    @pytest.mark.parametrize(
        "options",
        [
            {"r": 4, "lora_alpha": 16, "target_modules": ["q_proj", "k_proj"]},
            {"r": 4, "lora_alpha": 16, "target_modules": "all-linear"},
            {"r": 4, "lora_alpha": 16, "target_modules": r".*layers\.0\..*(q|v)_proj"},
            {"r": 4, "lora_alpha": 16, "target_modules": ["up_proj"], "layers_to_transform": [1]},
            {"r": 9, "lora_alpha": 6, "target_modules": ["q_proj"], "use_rslora": True},
        ],
        ids=["plain", "all-linear", "pattern", "one layer", "rank-stabilised"],
    )
    def test_an_adapter_of_plain_peft_gives_the_same_logits(
        self, open_resident: Open, llama_path: Path, tmp_path: Path, options: dict[str, object]
    ) -> None:
        model = self.foreign(llama_path, tmp_path, **options)
        spec = read_spec(tmp_path, linear_modules(llama_path))
        resident = open_resident(llama_path, spec)
        resident.load_adapter(tmp_path)
        torch.testing.assert_close(logits(resident.model), logits(model))

    def test_its_re_export_gives_the_same_logits_too(
        self, open_resident: Open, llama_path: Path, tmp_path: Path
    ) -> None:
        model = self.foreign(
            llama_path, tmp_path / "in", r=9, lora_alpha=6, target_modules=["q_proj"], use_rslora=True
        )
        resident = open_resident(llama_path, read_spec(tmp_path / "in", linear_modules(llama_path)))
        resident.load_adapter(tmp_path / "in")
        export_adapter(resident, "base", tmp_path / "out")
        torch.testing.assert_close(logits(load_with_peft(llama_path, tmp_path / "out")), logits(model))

    def test_an_adapter_for_another_base_is_refused(self, llama_path: Path, gpt2_path: Path, tmp_path: Path) -> None:
        self.foreign(llama_path, tmp_path, target_modules=["q_proj"])
        with pytest.raises(EngineRefusal, match="does not have"):
            read_spec(tmp_path, linear_modules(gpt2_path))

    def test_a_mixed_rank_is_refused(self, llama_path: Path, tmp_path: Path) -> None:
        self.foreign(llama_path, tmp_path, r=4, target_modules=["q_proj", "v_proj"], rank_pattern={"v_proj": 2})
        with pytest.raises(EngineRefusal, match="one rank"):
            read_spec(tmp_path, linear_modules(llama_path))

    def test_a_wrong_shape_is_refused_by_name(self, open_resident: Open, llama_path: Path, tmp_path: Path) -> None:
        self.foreign(llama_path, tmp_path, r=4, target_modules=["q_proj"])
        resident = open_resident(llama_path, LoraSpec(r=2, target_modules=("q_proj",)))
        with pytest.raises(EngineRefusal, match=r"q_proj\.lora_A\.weight has shape \[4, 32\], not \[2, 32\]"):
            resident.load_adapter(tmp_path)

    def test_a_nan_hidden_in_a_query_projection_is_refused(self, resident: Resident, tmp_path: Path) -> None:
        export_adapter(resident, "base", tmp_path)
        from safetensors.torch import load_file, save_file

        weights = load_file(tmp_path / "adapter_model.safetensors")
        weights[next(name for name in weights if "q_proj" in name)][0, 0] = float("nan")
        save_file(weights, tmp_path / "adapter_model.safetensors")
        with pytest.raises(EngineRefusal, match="not finite"):
            resident.load_adapter(tmp_path)

    def test_a_truncated_file_is_refused(self, resident: Resident, tmp_path: Path) -> None:
        export_adapter(resident, "base", tmp_path)
        weights = tmp_path / "adapter_model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-10])
        with pytest.raises(EngineRefusal, match="cannot be read"):
            resident.load_adapter(tmp_path)


def linear_modules(base: Path) -> frozenset[str]:
    from service.domain.engine import Base
    from workers.engine.loading import open_base

    return open_base(Base(str(base), None, None), CPU).linear_modules
