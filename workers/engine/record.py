"""What a training run leaves behind for influence updates, and its files.

record.json           weights per instance, learning rates, optimiser constants
record.safetensors    second moments [p] and, per checkpoint, parameters [p] and second moments [p]
erasure_vectors.…     one vector [p] a subject, if the run accumulated them
"""

import json
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from workers.engine.erasure_vectors import ErasureVectors
from workers.engine.errors import EngineRefusal


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """φ and bias-corrected v̂, both fp32 [p], after `step` optimiser steps."""

    step: int
    parameters: Tensor
    second_moments: Tensor


@dataclass(frozen=True, slots=True)
class TrainingRecord:
    """How an anchor came to be, in the terms of J(φ) = Σ wᵢ ℓᵢ(φ).

    `weights` are the exact wᵢ by instance id, averaged over all steps of the run. `learning_rates`
    has one entry a step (0 where a step was skipped for want of data). `second_moments` is Adam's
    bias-corrected v̂ [p] at the end of training. Checkpoints lie at the middle of equal segments. `vectors`
    are there if the run accumulated them, on the CPU.
    """

    weights: dict[str, float]
    learning_rates: tuple[float, ...]
    second_moments: Tensor
    epsilon: float
    weight_decay: float
    steps: int
    checkpoints: tuple[Checkpoint, ...]
    order_digest: str
    vectors: ErasureVectors | None = None

    def save(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        tensors = {"second_moments": self.second_moments}
        for index, checkpoint in enumerate(self.checkpoints):
            tensors[f"checkpoints.{index}.parameters"] = checkpoint.parameters
            tensors[f"checkpoints.{index}.second_moments"] = checkpoint.second_moments
        save_file({name: tensor.cpu().contiguous() for name, tensor in tensors.items()}, _tensors(directory))
        if self.vectors is not None:
            self.vectors.save(directory)
        facts = {
            "weights": self.weights,
            "learning_rates": self.learning_rates,
            "epsilon": self.epsilon,
            "weight_decay": self.weight_decay,
            "steps": self.steps,
            "checkpoint_steps": [checkpoint.step for checkpoint in self.checkpoints],
            "order_digest": self.order_digest,
        }
        _facts(directory).write_text(json.dumps(facts, indent=1))

    @classmethod
    def load(cls, directory: Path) -> "TrainingRecord":
        """Reads what `save` wrote.

        Raises:
            EngineRefusal: `training-record` if a file or field is missing or malformed.
        """
        try:
            facts = json.loads(_facts(directory).read_text())
            tensors = load_file(_tensors(directory))
            return cls(
                weights={str(name): float(weight) for name, weight in facts["weights"].items()},
                learning_rates=tuple(float(rate) for rate in facts["learning_rates"]),
                second_moments=tensors["second_moments"].float(),
                epsilon=float(facts["epsilon"]),
                weight_decay=float(facts["weight_decay"]),
                steps=int(facts["steps"]),
                checkpoints=tuple(
                    Checkpoint(
                        int(step),
                        tensors[f"checkpoints.{index}.parameters"].float(),
                        tensors[f"checkpoints.{index}.second_moments"].float(),
                    )
                    for index, step in enumerate(facts["checkpoint_steps"])
                ),
                order_digest=str(facts["order_digest"]),
                vectors=ErasureVectors.load(directory),
            )
        except (OSError, SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise EngineRefusal(
                "training-record", f"The training record is unreadable: {type(error).__name__}."
            ) from error


def _tensors(directory: Path) -> Path:
    return directory / "record.safetensors"


def _facts(directory: Path) -> Path:
    return directory / "record.json"
