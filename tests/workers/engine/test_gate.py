"""Nothing is published but what was measured: every way an export can be wrong is caught, by name."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from service.domain.adapters import LoraSpec
from service.domain.probes import Probe
from workers.engine.errors import EngineRefusal
from workers.engine.export import export_adapter
from workers.engine.gate import pass_gate
from workers.engine.probing import make_probe
from workers.engine.resident import Resident

Open = Callable[[Path, LoraSpec], Resident]
Tensors = dict[str, Tensor]
WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"


@pytest.fixture
def version(resident: Resident, tmp_path: Path) -> Probe:
    """A version in the resident, exported into `tmp_path`, with its probe."""
    generator = torch.Generator().manual_seed(0)
    resident.parameters.set(torch.randn(resident.parameters.size, generator=generator) * 0.1)
    export_adapter(resident, "base", tmp_path)
    return make_probe(resident, tmp_path)


def zero_a_tensor(tensors: Tensors) -> Tensors:
    return {**tensors, _last(tensors): torch.zeros_like(tensors[_last(tensors)])}


def hide_a_nan(tensors: Tensors) -> Tensors:
    """In a query projection, where it may leave the logits finite."""
    tensors[next(name for name in tensors if "q_proj" in name)][0, 0] = float("nan")
    return tensors


def drop_the_prefix(tensors: Tensors) -> Tensors:
    return {name.removeprefix("base_model.model."): tensor for name, tensor in tensors.items()}


def drop_a_tensor(tensors: Tensors) -> Tensors:
    return {name: tensor for name, tensor in tensors.items() if name != _last(tensors)}


def add_a_tensor(tensors: Tensors) -> Tensors:
    return {**tensors, "base_model.model.lm_head.weight": torch.zeros(2, 2)}


def transpose(tensors: Tensors) -> Tensors:
    """A as [in, r] and B as [r, out]."""
    return {name: tensor.T.contiguous() for name, tensor in tensors.items()}


def swap_a_and_b(tensors: Tensors) -> Tensors:
    names = {True: ".lora_A.", False: ".lora_B."}
    return {
        name.replace(names[".lora_A." in name], names[".lora_A." not in name]): tensor
        for name, tensor in tensors.items()
    }


def halve_the_precision(tensors: Tensors) -> Tensors:
    return {name: tensor.half() for name, tensor in tensors.items()}


def _last(tensors: Tensors) -> str:
    return sorted(tensors)[-1]


def test_a_good_export_passes_and_the_resident_stays_as_it_was(
    resident: Resident, version: Probe, tmp_path: Path
) -> None:
    weights = resident.parameters.get()
    distances = pass_gate(resident, tmp_path, version)
    assert distances["version"] < 1e-6
    assert distances["base"] > 0.01
    assert torch.equal(resident.parameters.get(), weights)


def test_so_does_one_of_a_gpt2(open_resident: Open, gpt2_path: Path, tmp_path: Path) -> None:
    """Whose projections are Conv1D, which PEFT finds out by itself."""
    resident = open_resident(gpt2_path, LoraSpec(r=3, alpha=6, target_modules=("c_attn", "c_proj")))
    resident.parameters.set(torch.randn(resident.parameters.size, generator=torch.Generator().manual_seed(0)) * 0.1)
    export_adapter(resident, "base", tmp_path)
    assert pass_gate(resident, tmp_path, make_probe(resident, tmp_path))["version"] < 1e-6


@pytest.mark.parametrize(
    ("mutate", "code"),
    [
        (zero_a_tensor, "values"),
        (hide_a_nan, "not-finite"),
        (drop_the_prefix, "tensors"),
        (drop_a_tensor, "tensors"),
        (add_a_tensor, "tensors"),
        (transpose, "tensors"),
        (swap_a_and_b, "tensors"),
        (halve_the_precision, "tensors"),
    ],
)
def test_wrong_tensors_are_caught(
    resident: Resident, version: Probe, tmp_path: Path, mutate: Callable[[Tensors], Tensors], code: str
) -> None:
    save_file(mutate(load_file(tmp_path / WEIGHTS)), tmp_path / WEIGHTS, {"format": "pt"})
    assert refusal(resident, tmp_path, version).code == f"publish-gate-{code}"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"lora_alpha": 8.1}, "answers"),
        ({"use_rslora": True}, "answers"),
        ({"r": 8}, "load"),
        ({"target_modules": ["q_proj", "k_proj", "v_proj", "gate_proj", "up_proj", "down_proj"]}, "load"),
        ({"target_modules": ["q_proj"]}, "load"),
        ({"target_modules": ["nowhere"]}, "load"),
        ({"peft_type": "NOTHING"}, "load"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else value,
)
def test_a_wrong_configuration_is_caught(
    resident: Resident, version: Probe, tmp_path: Path, change: dict[str, Any], code: str
) -> None:
    config = json.loads((tmp_path / CONFIG).read_text())
    (tmp_path / CONFIG).write_text(json.dumps(config | change))
    assert refusal(resident, tmp_path, version).code == f"publish-gate-{code}"


def test_a_truncated_file_is_caught(resident: Resident, version: Probe, tmp_path: Path) -> None:
    (tmp_path / WEIGHTS).write_bytes((tmp_path / WEIGHTS).read_bytes()[:-10])
    assert refusal(resident, tmp_path, version).code == "publish-gate-tensors"


def test_an_adapter_without_effect_is_caught(resident: Resident, tmp_path: Path) -> None:
    """A fresh one: all of B is zero."""
    resident.initialise(0)
    export_adapter(resident, "base", tmp_path)
    assert refusal(resident, tmp_path, make_probe(resident, tmp_path)).code == "publish-gate-no-effect"


def test_a_hardly_trained_one_passes(resident: Resident, tmp_path: Path) -> None:
    """After an erasure little may be left to be trained on."""
    resident.initialise(0)
    resident.parameters.set(resident.parameters.get() + 1e-4)
    export_adapter(resident, "base", tmp_path)
    assert pass_gate(resident, tmp_path, make_probe(resident, tmp_path))["base"] < 0.1


def refusal(resident: Resident, directory: Path, probe: Probe) -> EngineRefusal:
    with pytest.raises(EngineRefusal) as caught:
        pass_gate(resident, directory, probe)
    return caught.value
