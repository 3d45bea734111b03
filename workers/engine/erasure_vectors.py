"""Erasure vectors: what each subject's data did to the adapter, accumulated while it is trained.

The run without a subject differs from the run with it by the recursion, one implicit step a training step,

    δ ← (I + P G)⁻¹ (δ + P b)        P = ηₜ / (√v̂ₜ + ε),

with b the subject's part of the step's gradient and G the curvature of the rest of the batch: the empirical
Fisher matrix, whose rows are the step's own gradients, so that training makes no further pass. It is the
segmented unrolling of training with a segment for every step (SOURCE, arXiv:2405.12186, section 3, in Adam's metric;
implicit, because explicit steps diverge), run forward for all subjects at once, so that no gradient is stored.
Vectors of several subjects add up.

A vector is personal data: it is sealed and shredded with its subject's rows.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from service.domain.engine import TrainingSet

VECTORS = "erasure_vectors.safetensors"
# What all vectors of a run may take; with more subjects there are none.
VECTOR_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Batch:
    """A training batch as the recursion sees it: each instance's subject [m], gradient and Fisher row [m, p]."""

    members: Tensor
    gradients: Tensor
    rows: Tensor


class ErasureVectors:
    """δ [p] of every subject. Memory: 4p bytes a subject, and 12p an instance of the batch while a step runs."""

    def __init__(self, subjects: Mapping[str, str], vectors: Tensor) -> None:
        """`subjects` names the subject of every instance; `vectors` [subjects, p] are in their sorted order."""
        self.subjects = dict(subjects)
        self.vectors = vectors
        self._rows = {name: row for row, name in enumerate(sorted(set(subjects.values())))}

    @classmethod
    def start(cls, data: TrainingSet, size: int, device: torch.device) -> "ErasureVectors | None":
        """Zeros; None where no subject is known or their vectors would take too much memory.

        Instances without a subject are subjects of their own as long as that fits.
        """
        if not any(example.subject for example in data.examples):
            return None
        subjects = {example.id: example.subject or f"instance {example.id}" for example in data.examples}
        if 4 * size * len(set(subjects.values())) > VECTOR_BYTES:
            return None
        return cls(subjects, torch.zeros(len(set(subjects.values())), size, device=device))

    def to(self, device: torch.device) -> "ErasureVectors":
        return ErasureVectors(self.subjects, self.vectors.to(device))

    def batch(self, ids: Sequence[str], parts: Tensor, scales: Sequence[float]) -> Batch:
        """A batch from its instances' parts cᵢ ∇ℓᵢ [m, p] of the gradient; `scales` turn them into Fisher rows."""
        members = torch.tensor([self._rows[self.subjects[name]] for name in ids], device=parts.device)
        return Batch(members, parts, parts * torch.tensor(scales, device=parts.device)[:, None])

    def step(self, batch: Batch, preconditioner: Tensor, *, retention: float = 1.0) -> None:
        """Carries every δ over one training step with P [p]: two products of all vectors with the batch's rows.

        `retention` is what decoupled weight decay leaves of a weight, and so of a change in it.
        """
        rows, scaled = batch.rows, batch.rows * preconditioner
        self.vectors.mul_(retention).index_add_(0, batch.members, batch.gradients * preconditioner)
        projected = self.vectors @ rows.T
        system = torch.eye(len(rows), device=rows.device) + rows @ scaled.T
        coefficients = torch.linalg.solve(system, projected.T).T.contiguous()
        # A subject's own rows leave the curvature with it.
        for subject in sorted(set(batch.members.tolist())):
            rest = (batch.members != subject).nonzero()[:, 0]
            coefficients[subject] = 0.0
            coefficients[subject, rest] = torch.linalg.solve(system[rest][:, rest], projected[subject, rest])
        self.vectors.addmm_(coefficients, scaled, alpha=-1.0)

    def covering(self, removed: Iterable[str]) -> set[str]:
        """The subjects all of whose instances are among the removed ones."""
        gone = set(removed)
        partly = {subject for name, subject in self.subjects.items() if name not in gone}
        return {self.subjects[name] for name in gone if name in self.subjects} - partly

    def total(self, subjects: Iterable[str]) -> Tensor:
        """δ [p] of removing these subjects."""
        return self.vectors[[self._rows[name] for name in sorted(subjects)]].sum(0)

    def save(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        save_file({"vectors": self.vectors.cpu().contiguous()}, directory / VECTORS, metadata=self.subjects)

    @classmethod
    def load(cls, directory: Path) -> "ErasureVectors | None":
        """Reads what `save` wrote; None where there is nothing."""
        if not (directory / VECTORS).is_file():
            return None
        with safe_open(directory / VECTORS, framework="pt") as file:
            # A copy, for its alignment: matrix products over a mapped file may round differently.
            return cls(file.metadata(), file.get_tensor("vectors").clone())
