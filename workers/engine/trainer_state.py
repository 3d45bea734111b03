"""Where a training run stands between two steps, and how it survives being interrupted.

state.json            epoch, step, weights so far, learning rates, checkpoint steps, fingerprint
state.safetensors     parameters, Adam's first and second moments, checkpoints; each [p] fp32
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from service.domain.adapters import Recipe
from workers.engine.erasure_vectors import ErasureVectors
from workers.engine.errors import EngineRefusal
from workers.engine.record import Checkpoint, TrainingRecord


@dataclass(slots=True)
class TrainerState:
    """The adapter as one flat parameter φ [p] under AdamW, and the record so far.

    `coefficients` sums, by instance id, the factors its loss had in the gradients of the steps taken.
    Memory: 16p bytes (φ, its gradient, two moments), and 8p a checkpoint in main memory.
    """

    recipe: Recipe
    fingerprint: str
    flat: nn.Parameter
    optimizer: torch.optim.AdamW
    epoch: int = 0
    learning_rates: list[float] = field(default_factory=list)
    coefficients: dict[str, float] = field(default_factory=dict)
    checkpoints: list[Checkpoint] = field(default_factory=list)
    vectors: ErasureVectors | None = None

    @classmethod
    def start(cls, recipe: Recipe, fingerprint: str, parameters: Tensor) -> "TrainerState":
        flat = nn.Parameter(parameters)
        optimizer = torch.optim.AdamW(
            [flat],
            lr=recipe.learning_rate,
            betas=(recipe.beta1, recipe.beta2),
            eps=recipe.epsilon,
            weight_decay=recipe.weight_decay,
            foreach=False,
        )
        return cls(recipe, fingerprint, flat, optimizer)

    @property
    def step(self) -> int:
        """Steps scheduled so far, skipped ones among them."""
        return len(self.learning_rates)

    def apply(self, gradient: Tensor, rate: float) -> None:
        """One AdamW step (arXiv:1711.05101, algorithm 2) along a gradient [p]."""
        self.flat.grad = gradient
        self.optimizer.param_groups[0]["lr"] = rate
        self.optimizer.step()
        self.flat.grad = None

    def second_moments(self) -> Tensor:
        """Adam's bias-corrected v̂ [p]; zero before the first step."""
        moments: dict[str, Tensor] = self.optimizer.state.get(self.flat, {})
        if not moments:
            return torch.zeros_like(self.flat.detach())
        correction: float = 1 - self.recipe.beta2 ** float(moments["step"])
        return moments["exp_avg_sq"] / correction

    def take_checkpoint(self) -> None:
        self.checkpoints.append(
            Checkpoint(self.step, self.flat.detach().to("cpu", copy=True), self.second_moments().cpu())
        )

    def to_record(self, order_digest: str) -> TrainingRecord:
        return TrainingRecord(
            weights={name: total / self.step for name, total in self.coefficients.items()},
            learning_rates=tuple(self.learning_rates),
            second_moments=self.second_moments().cpu(),
            epsilon=self.recipe.epsilon,
            weight_decay=self.recipe.weight_decay,
            steps=self.step,
            checkpoints=tuple(self.checkpoints),
            order_digest=order_digest,
            vectors=None if self.vectors is None else self.vectors.to(torch.device("cpu")),
        )

    def save(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        moments = self.optimizer.state[self.flat]
        tensors = {"parameters": self.flat.detach(), **{name: moments[name] for name in _MOMENTS}}
        for index, checkpoint in enumerate(self.checkpoints):
            tensors[f"checkpoints.{index}.parameters"] = checkpoint.parameters
            tensors[f"checkpoints.{index}.second_moments"] = checkpoint.second_moments
        save_file({name: tensor.cpu().contiguous() for name, tensor in tensors.items()}, directory / _TENSORS)
        facts = {
            "fingerprint": self.fingerprint,
            "epoch": self.epoch,
            "learning_rates": self.learning_rates,
            "coefficients": self.coefficients,
            "checkpoint_steps": [checkpoint.step for checkpoint in self.checkpoints],
        }
        (directory / _FACTS).write_text(json.dumps(facts))
        if self.vectors is not None:
            self.vectors.save(directory)

    @classmethod
    def load(cls, recipe: Recipe, fingerprint: str, directory: Path, device: torch.device) -> "TrainerState":
        """Goes on where `save` stopped.

        Raises:
            EngineRefusal: `checkpoint` if the files are unreadable or belong to another run.
        """
        try:
            facts: dict[str, Any] = json.loads((directory / _FACTS).read_text())
            tensors = load_file(directory / _TENSORS)
        except (OSError, ValueError, SafetensorError) as error:
            raise EngineRefusal("checkpoint", f"The checkpoint is unreadable: {type(error).__name__}.") from error
        if facts["fingerprint"] != fingerprint:
            raise EngineRefusal("checkpoint", "The checkpoint belongs to another recipe, dataset or base model.")
        state = cls.start(recipe, fingerprint, tensors["parameters"].to(device))
        # Adam's step counter stays on the CPU, as the optimiser itself keeps it.
        state.optimizer.state[state.flat] = {
            name: tensors[name] if name == "step" else tensors[name].to(device) for name in _MOMENTS
        }
        state.epoch = facts["epoch"]
        state.learning_rates = facts["learning_rates"]
        state.coefficients = facts["coefficients"]
        state.checkpoints = [
            Checkpoint(
                step, tensors[f"checkpoints.{index}.parameters"], tensors[f"checkpoints.{index}.second_moments"]
            )
            for index, step in enumerate(facts["checkpoint_steps"])
        ]
        vectors = ErasureVectors.load(directory)
        state.vectors = None if vectors is None else vectors.to(device)
        return state


_TENSORS = "state.safetensors"
_FACTS = "state.json"
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")
