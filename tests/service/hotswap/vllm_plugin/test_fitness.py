"""What vLLM would take and serve wrongly is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.hotswap.vllm_plugin.fitness import Unfit, check_adapter
from tests.support.lora_files import Tensors, random_tensors, write_adapter
from tests.support.vllm_double_engine import write_base

MODULES = ["model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.v_proj"]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return write_base(tmp_path / "base", MODULES, width=16)


def key(tensors: Tensors, side: str) -> str:
    return min(name for name in tensors if f"lora_{side}" in name)


def test_an_adapter_as_lethe_publishes_it_passes(base: Path, tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "adapter", random_tensors(base, 1))
    check_adapter(adapter, base)
    check_adapter(adapter, tmp_path / "a name of the hub")


def test_half_precision_passes(base: Path, tmp_path: Path) -> None:
    halves = {name: tensor.astype(np.float16) for name, tensor in random_tensors(base, 1).items()}
    check_adapter(write_adapter(tmp_path / "adapter", halves), base)


def narrower(tensors: Tensors) -> None:
    tensors[key(tensors, "A")] = tensors[key(tensors, "A")][:, :8]


def higher(tensors: Tensors) -> None:
    tensors[key(tensors, "B")] = np.zeros((32, 4), np.float32)


def of_another_rank(tensors: Tensors) -> None:
    tensors[key(tensors, "A")] = tensors[key(tensors, "A")][:2]


def without_a_half(tensors: Tensors) -> None:
    del tensors[key(tensors, "B")]


def without_prefix(tensors: Tensors) -> None:
    tensors[key(tensors, "A").removeprefix("base_model.model.")] = tensors.pop(key(tensors, "A"))


def with_nan(tensors: Tensors) -> None:
    tensors[key(tensors, "B")][-1, -1] = np.nan


def with_infinity(tensors: Tensors) -> None:
    halves = tensors[key(tensors, "A")].astype(np.float16)
    halves[0, 0] = np.inf
    tensors[key(tensors, "A")] = halves


def of_integers(tensors: Tensors) -> None:
    tensors[key(tensors, "A")] = tensors[key(tensors, "A")].astype(np.int32)


def empty(tensors: Tensors) -> None:
    tensors.clear()


@pytest.mark.parametrize(
    "spoil",
    [
        narrower,
        higher,
        of_another_rank,
        without_a_half,
        without_prefix,
        with_nan,
        with_infinity,
        of_integers,
        empty,
    ],
)
def test_tensors_that_do_not_fit_are_refused(spoil: Any, base: Path, tmp_path: Path) -> None:
    tensors = random_tensors(base, 1)
    spoil(tensors)
    with pytest.raises(Unfit):
        check_adapter(write_adapter(tmp_path / "adapter", tensors), base)


@pytest.mark.parametrize("changes", [{"r": 8}, {"peft_type": "IA3"}, {"lora_alpha": None}, {"r": 0}])
def test_a_configuration_that_does_not_fit_is_refused(changes: dict[str, Any], base: Path, tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "adapter", random_tensors(base, 1), **{"r": 4, **changes})
    with pytest.raises(Unfit):
        check_adapter(adapter, base)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff"])
@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
def test_files_that_are_none_are_refused(name: str, content: bytes, base: Path, tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "adapter", random_tensors(base, 1))
    (adapter / name).write_bytes(content)
    with pytest.raises(Unfit):
        check_adapter(adapter, base)
