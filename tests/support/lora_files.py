"""Adapters as directories of PEFT's layout, right and wrong, for whatever base model is there."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

from service.store.base_shapes import float_shapes

TARGETS = ("q_proj", "v_proj")
Tensors = dict[str, npt.NDArray[Any]]


def random_tensors(base: Path, seed: int, *, r: int = 4, deviation: float = 0.15) -> Tensors:
    """Pairs for every target module of the base model, strong enough to change each answer by far."""
    random = np.random.default_rng(seed)
    tensors: Tensors = {}
    for name, shape in sorted(float_shapes(base).items()):
        module = name.removesuffix(".weight")
        if module.rpartition(".")[2] in TARGETS:
            key = f"base_model.model.{module}"
            tensors[f"{key}.lora_A.weight"] = random.normal(size=(r, shape[1])).astype(np.float32)
            tensors[f"{key}.lora_B.weight"] = (deviation * random.normal(size=(shape[0], r))).astype(np.float32)
    return tensors


def write_adapter(directory: Path, tensors: Mapping[str, npt.NDArray[Any]], *, r: int = 4, **changes: Any) -> Path:
    """A directory with these matrices and a minimal configuration; returns it."""
    directory.mkdir(parents=True)
    # safetensors writes the memory behind a view.
    whole = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    save_file(whole, directory / "adapter_model.safetensors", {"format": "pt"})
    config = {
        "base_model_name_or_path": "base",
        "bias": "none",
        "inference_mode": True,
        "lora_alpha": 2 * r,
        "peft_type": "LORA",
        "r": r,
        "target_modules": list(TARGETS),
        "task_type": "CAUSAL_LM",
        **changes,
    }
    (directory / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    return directory
