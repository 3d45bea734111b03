"""The worker of the vLLM double: a model of one sum, and the ways in which vLLM 0.32 keeps and loses adapters.

The model is real arithmetic, so that an adapter that does nothing answers exactly like the base model, and two
adapters answer differently: logits(prompt) = base(prompt) + Σ_modules P (alpha / r) B A x(prompt), with P, x and
base drawn from hashes.
"""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

VOCABULARY = 64

Matrix = npt.NDArray[np.float64]


@dataclass
class LoraRequest:
    """What the server keeps of a registered adapter; vLLM's class has the same members."""

    lora_name: str
    lora_int_id: int
    lora_path: str
    load_inplace: bool = False


class NoAdapterHere(Exception):
    """The directory or its configuration is missing: 404."""


class BadAdapter(Exception):
    """Anything else that is wrong with an adapter: 500, as if the server were broken."""


class EngineDead(Exception):
    """An adapter that had been evicted was asked for, and its files were gone. The server ends."""


Weights = dict[str, tuple[Matrix, Matrix, float]]
"""A [r, in], B [out, r] and the scale by module."""


class Engine:
    """Resident adapters by integer id, least recently used first. `shapes`: (out, in) by module of the base model."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], *, max_loras: int, max_lora_rank: int) -> None:
        self.shapes, self.max_loras, self.max_lora_rank = shapes, max_loras, max_lora_rank
        self.resident: OrderedDict[int, Weights] = OrderedDict()
        self.dead = False

    def add(self, request: LoraRequest) -> None:
        """Load an adapter, or with `load_inplace` over the one that has its id.

        Raises:
            NoAdapterHere, BadAdapter: nothing changed, but for a shape that does not fit the base model: then the
                id goes on with the modules that were copied before the misfit was found.
        """
        if request.lora_int_id in self.resident and not request.load_inplace:
            self.resident.move_to_end(request.lora_int_id)
            return
        weights = read_adapter(Path(request.lora_path), self.max_lora_rank)
        if not weights.keys() <= self.shapes.keys():
            raise BadAdapter("Expected target modules of the base model but received others.")
        old = self.resident.pop(request.lora_int_id, None)
        while len(self.resident) >= self.max_loras:
            self.resident.popitem(last=False)
        misfits = [module for module in weights if not self._fits(module, weights[module])]
        if not misfits:
            self.resident[request.lora_int_id] = {m: self._padded(m, pair) for m, pair in weights.items()}
        elif old is None:
            raise BadAdapter("The size of tensor a must match the size of tensor b")
        else:
            copied = list(weights)[: list(weights).index(misfits[0])]
            self.resident[request.lora_int_id] = {
                **{m: pair for m, pair in old.items() if m != misfits[0]},
                **{m: weights[m] for m in copied},
            }
            raise BadAdapter("The size of tensor a must match the size of tensor b")

    def log_probs(self, request: LoraRequest | None, prompt: Sequence[int]) -> Matrix:
        """Log-probabilities (nats) of the next token, [VOCABULARY]. No request: those of the base model.

        Raises:
            EngineDead: see there.
        """
        if request is None:
            return log_probs(prompt, {})
        if request.lora_int_id not in self.resident:
            try:
                self.add(LoraRequest(request.lora_name, request.lora_int_id, request.lora_path))
            except (NoAdapterHere, BadAdapter) as error:
                self.dead = True
                raise EngineDead(str(error)) from error
        self.resident.move_to_end(request.lora_int_id)
        return log_probs(prompt, self.resident[request.lora_int_id])

    def copies_of(self, directory: Path) -> int:
        """How many resident adapters hold the weights of a directory. Unloading leaves them where they are."""
        wanted = {m: self._padded(m, pair) for m, pair in read_adapter(directory, self.max_lora_rank).items()}
        return sum(_equal(wanted, weights) for weights in self.resident.values())

    def _fits(self, module: str, pair: tuple[Matrix, Matrix, float]) -> bool:
        out, width = self.shapes[module]
        return pair[0].shape[1] <= width and pair[1].shape[0] <= out

    def _padded(self, module: str, pair: tuple[Matrix, Matrix, float]) -> tuple[Matrix, Matrix, float]:
        """A narrower matrix is filled up with zeros, without a word."""
        (a, b, scale), (out, width) = pair, self.shapes[module]
        return np.pad(a, ((0, 0), (0, width - a.shape[1]))), np.pad(b, ((0, out - b.shape[0]), (0, 0))), scale


def read_adapter(directory: Path, max_lora_rank: int = 16) -> Weights:
    """An adapter's matrices, checked as far as vLLM checks them before it touches what it serves."""
    config_file = directory / "adapter_config.json"
    if not (directory.is_absolute() and config_file.is_file()):
        raise NoAdapterHere(f"No adapter found for {directory}")
    try:
        config = json.loads(config_file.read_text())
        tensors = load_file(directory / "adapter_model.safetensors")
    except (ValueError, OSError, SafetensorError) as error:
        raise BadAdapter(f"{type(error).__name__}: {error}") from error
    if config["r"] > max_lora_rank:
        raise BadAdapter(f"LoRA rank {config['r']} is greater than max_lora_rank {max_lora_rank}.")
    if config.get("use_dora"):
        raise BadAdapter("vLLM does not yet support DoRA.")
    modules = sorted({name.rpartition(".lora_")[0] for name in tensors})
    # Keys without PEFT's prefix are taken all the same.
    return {
        module.removeprefix("base_model.model."): (
            tensors[f"{module}.lora_A.weight"].astype(np.float64),
            tensors[f"{module}.lora_B.weight"].astype(np.float64),
            config["lora_alpha"] / config["r"],
        )
        for module in modules
    }


def log_probs(prompt: Sequence[int], weights: Weights) -> Matrix:
    logits = _random("base", prompt, (VOCABULARY,))
    for module, (a, b, scale) in sorted(weights.items()):
        hidden = _random(module, prompt, (a.shape[1],))
        spread = _random(f"{module} to tokens", (), (VOCABULARY, b.shape[0]))
        logits = logits + spread @ (scale * (b @ (a @ hidden))) / np.sqrt(b.shape[0] * a.shape[1])
    shifted = logits - logits.max()
    return shifted - np.log(np.exp(shifted).sum())


def write_base(directory: Path, modules: Sequence[str], width: int) -> Path:
    """A base model for the double: the weights of some square linear layers, by full name."""
    directory.mkdir(parents=True, exist_ok=True)
    tensors = {f"{module}.weight": np.zeros((width, width), np.float32) for module in modules}
    save_file(tensors, directory / "model.safetensors")
    return directory


def _random(what: str, prompt: Sequence[int], shape: tuple[int, ...]) -> Matrix:
    seed = hashlib.sha256(json.dumps([what, *prompt]).encode()).digest()
    return np.random.default_rng(int.from_bytes(seed[:8], "big")).normal(size=shape)


def _equal(one: Weights, other: Weights) -> bool:
    return one.keys() == other.keys() and all(
        all(np.array_equal(mine, yours) for mine, yours in zip(one[module], other[module], strict=True))
        for module in one
    )
