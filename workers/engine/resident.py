"""A base model with one LoRA adapter on it, kept in memory between jobs."""

import math
import warnings
from pathlib import Path
from typing import TypeAlias

import torch
from peft import LoraConfig, PeftModel
from transformers import PreTrainedTokenizerBase
from transformers.pytorch_utils import Conv1D

from service.domain.adapters import LoraSpec
from workers.engine.adapter_files import read_weights, short_targets
from workers.engine.errors import EngineRefusal
from workers.engine.loading import BaseModel
from workers.engine.memory import MicroBatch, default_micro_batch
from workers.engine.parameters import ADAPTER, LoraParameters

ResidentKey: TypeAlias = tuple[str, str, LoraSpec]


class Resident:
    """Base, tokenizer, PEFT model and flat parameters on one device.

    Memory: the base, plus 4p bytes of adapter. The adapter's weights are whatever was put in last;
    every job starts by loading or initialising them.

    Raises:
        EngineRefusal: `target-modules` if the LoRA targets are not linear layers of the base.
    """

    def __init__(self, base: BaseModel, lora: LoraSpec) -> None:
        self.base = base
        self.lora = canonical_spec(base, lora)
        self.model = _wrap(base, self.lora)
        self.parameters = LoraParameters(self.model)
        self.micro_batch = MicroBatch(default_micro_batch(base.device))

    @property
    def key(self) -> ResidentKey:
        return str(self.base.path), self.base.digest, self.lora

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        return self.base.tokenizer

    @property
    def device(self) -> torch.device:
        return self.base.device

    @property
    def pad_id(self) -> int:
        return self.base.pad_id

    def load_adapter(self, path: Path) -> None:
        """Puts the weights of an adapter directory (PEFT layout) in place.

        Raises:
            EngineRefusal: `adapter` if its keys, shapes or values do not fit this resident.
        """
        weights = read_weights(path)
        expected = dict(zip(self.parameters.names, self.parameters.shapes, strict=True))
        if weights.keys() != expected.keys():
            odd = sorted(weights.keys() ^ expected.keys())
            raise EngineRefusal("adapter", f"{len(odd)} adapter tensors do not match the base, first: {odd[0]}.")
        for name, shape in expected.items():
            if weights[name].shape != shape:
                raise EngineRefusal("adapter", f"{name} has shape {list(weights[name].shape)}, not {list(shape)}.")
        self.parameters.set(self.parameters.vector(weights).to(self.device))

    def initialise(self, seed: int) -> None:
        """LoRA's starting point (arXiv:2106.09685, section 4.1): A random, B zero.

        A is uniform in ±1/√in (PEFT's Kaiming initialisation), drawn on the CPU in canonical order, so
        that a seed means the same weights on every device.
        """
        generator = torch.Generator().manual_seed(seed)
        start = {
            name: (torch.rand(shape, generator=generator) * 2 - 1) / math.sqrt(shape[1])
            if ".lora_A." in name
            else torch.zeros(shape)
            for name, shape in zip(self.parameters.names, self.parameters.shapes, strict=True)
        }
        self.parameters.set(self.parameters.vector(start).to(self.device))

    def close(self) -> None:
        """Takes the LoRA layers out again; the base can then carry another adapter."""
        self.model.unload()


def canonical_spec(base: BaseModel, lora: LoraSpec) -> LoraSpec:
    """The same adapter with its target modules written in one way.

    Raises:
        EngineRefusal: `target-modules` if a target is no linear module of the base.
    """
    selected: set[str] = set()
    for target in lora.target_modules:
        found = {name for name in base.linear_modules if name == target or name.endswith(f".{target}")}
        if not found:
            raise EngineRefusal("target-modules", f"The base model has no linear module named {target}.")
        selected |= found
    return lora.model_copy(update={"target_modules": short_targets(selected, base.linear_modules)})


def _wrap(base: BaseModel, lora: LoraSpec) -> PeftModel:
    targets = [
        module
        for name, module in base.model.named_modules()
        if any(name == target or name.endswith(f".{target}") for target in lora.target_modules)
    ]
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=lora.r,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]  # PEFT only divides by it
        lora_dropout=lora.dropout,
        target_modules=list(lora.target_modules),
        fan_in_fan_out=all(isinstance(module, Conv1D) for module in targets),
        inference_mode=False,
    )
    with warnings.catch_warnings():
        # PEFT asks transformers whether checkpointing is on through a name that transformers deprecated.
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
        model = PeftModel(base.model, config, adapter_name=ADAPTER)
    model.eval()
    return model
