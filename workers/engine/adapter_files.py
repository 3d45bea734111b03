"""Adapter directories in PEFT layout: `adapter_config.json` and `adapter_model.safetensors`."""

import json
import math
from collections.abc import Set
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from service.domain.adapters import LoraSpec
from workers.engine.errors import EngineRefusal

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
PREFIX = "base_model.model."


def read_weights(directory: Path) -> dict[str, Tensor]:
    """The tensors of an adapter by canonical key, fp32, on the CPU.

    Raises:
        EngineRefusal: `adapter` if the file is unreadable or holds values that are not finite.
    """
    try:
        weights = load_file(directory / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise EngineRefusal("adapter", f"{WEIGHTS} cannot be read: {type(error).__name__}.") from error
    for name, tensor in weights.items():
        # A NaN in a query or key projection can leave the logits finite, so every tensor is checked.
        if not torch.isfinite(tensor).all():
            raise EngineRefusal("adapter", f"{name} holds values that are not finite.")
    return {name: tensor.float() for name, tensor in weights.items()}


def read_spec(directory: Path, linear_modules: frozenset[str]) -> LoraSpec:
    """The shape of an adapter as a plain LoRA specification for a base with these linear modules.

    The tensors' keys decide the target modules (a config may hold patterns), the A matrices the rank.
    Rank-stabilised scaling α/√r (arXiv:2312.03732) is written as plain scaling with α√r.

    Raises:
        EngineRefusal: `adapter` if it is not plain LoRA of one rank on linear modules of this base.
    """
    config = _read_config(directory)
    weights = read_weights(directory)
    modules = {name.removeprefix(PREFIX).rsplit(".lora_", 1)[0] for name in weights}
    if not modules or not modules <= linear_modules:
        raise EngineRefusal("adapter", "The adapter holds tensors for modules that the base model does not have.")
    ranks = {tensor.shape[0] for name, tensor in weights.items() if name.endswith(".lora_A.weight")}
    if len(ranks) != 1 or config.get("rank_pattern") or config.get("alpha_pattern"):
        raise EngineRefusal("adapter", "The adapter does not have one rank and one scaling throughout.")
    r = ranks.pop()
    try:
        alpha = float(config["lora_alpha"]) * (math.sqrt(r) if config.get("use_rslora") else 1)
        dropout = float(config.get("lora_dropout", 0))
        return LoraSpec(r=r, alpha=alpha, dropout=dropout, target_modules=short_targets(modules, linear_modules))
    except (KeyError, TypeError, ValueError) as error:
        raise EngineRefusal("adapter", f"{CONFIG} has no usable lora_alpha or lora_dropout.") from error


def short_targets(modules: Set[str], linear_modules: Set[str]) -> tuple[str, ...]:
    """The sorted last names of the modules where these select exactly them, else their full paths."""
    short = {module.rsplit(".", 1)[-1] for module in modules}
    selected = {module for module in linear_modules if module.rsplit(".", 1)[-1] in short}
    return tuple(sorted(short if selected == modules else modules))


def _read_config(directory: Path) -> dict[str, Any]:
    try:
        config = json.loads((directory / CONFIG).read_text())
    except (OSError, ValueError) as error:
        raise EngineRefusal("adapter", f"{CONFIG} cannot be read: {type(error).__name__}.") from error
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        raise EngineRefusal("adapter", f"{CONFIG} does not describe a LoRA adapter.")
    return config
