"""Erasure vectors: what each subject's data did to the adapter, accumulated while it is trained.

The run without a subject differs from the run with it by the recursion, one implicit step a training step,

    δ ← (I + P G)⁻¹ (δ + P b)        P = ηₜ / (√v̂ₜ + ε),

with b the subject's part of the step's gradient and G the Fisher matrix of the rest of the batch. It is the
replay of `trajectory` with a segment for every step (SOURCE, arXiv:2405.12186, section 3, in Adam's metric;
implicit, because explicit steps diverge), run forward for all subjects at once, so that no gradient is stored.
Vectors of several subjects add up.

A vector is personal data: it is sealed and shredded with its subject's rows.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from workers.engine.errors import EngineRefusal
from workers.engine.fisher import instance_gradients, sample_labels
from workers.engine.losses import label_ids, label_logits
from workers.engine.predictions import mean_per_instance
from workers.engine.resident import Resident
from workers.engine.right_hand_side import dropout_off
from workers.engine.schedule import derived_seed
from workers.engine.tokens import Tokens, collate

VECTORS = "erasure_vectors.safetensors"


class ErasureVectors:
    """δ of every group of instances. Memory: 4 · groups · p bytes, and 8 · batch · p while a step runs."""

    def __init__(self, groups: Mapping[str, str], vectors: Tensor) -> None:
        """`groups` names the group of every instance id; `vectors` [groups, p] is in the groups' sorted order."""
        self.groups = dict(groups)
        self.names = tuple(sorted(set(groups.values())))
        self.vectors = vectors
        self._index = {name: position for position, name in enumerate(self.names)}

    @classmethod
    def zeros(cls, groups: Mapping[str, str], size: int, device: torch.device) -> "ErasureVectors":
        return cls(groups, torch.zeros(len(set(groups.values())), size, device=device))

    def observe(
        self,
        resident: Resident,
        ids: Sequence[str],
        tokens: Sequence[Tokens],
        coefficients: Sequence[float],
        seed: int,
    ) -> "Batch":
        """The batch's own gradients and Fisher rows at the resident's present weights, before its step is taken."""
        gradients, rows = _gradients_and_rows(resident, tokens, coefficients, seed)
        members = torch.tensor([self._index[self.groups[name]] for name in ids], device=rows.device)
        return Batch(members, gradients, rows)

    def step(self, batch: "Batch", preconditioner: Tensor) -> None:
        """Carries every δ over one training step, given P [p]: two products of all vectors with the batch's rows."""
        scaled = batch.rows * preconditioner
        self.vectors.index_add_(0, batch.members, batch.gradients * preconditioner)
        projected = self.vectors @ batch.rows.T
        system = torch.eye(len(batch.rows), device=scaled.device) + batch.rows @ scaled.T
        coefficients = torch.linalg.solve(system, projected.T).T
        # A group's own rows leave the curvature with it.
        for group in batch.members.unique().tolist():
            rest = (batch.members != group).nonzero()[:, 0]
            coefficients[group] = 0.0
            coefficients[group, rest] = torch.linalg.solve(system[rest][:, rest], projected[group, rest])
        self.vectors.addmm_(coefficients, scaled, alpha=-1.0)

    def removing(self, instance_ids: Iterable[str]) -> Tensor | None:
        """δ [p] of removing exactly these instances; None unless they make up whole groups."""
        gone = set(instance_ids)
        named = {self.groups[name] for name in gone if name in self.groups}
        whole = {name for name, group in self.groups.items() if group in named}
        if whole != gone or not gone:
            return None
        return self.vectors[[self._index[name] for name in sorted(named)]].sum(0)

    def save(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        members = {name: str(self._index[group]) for name, group in self.groups.items()}
        save_file({"vectors": self.vectors.cpu().contiguous()}, directory / VECTORS, metadata=members)


class Batch:
    """A training batch as the recursion sees it: each instance's group [m], gradient and Fisher row [m, p]."""

    __slots__ = ("gradients", "members", "rows")

    def __init__(self, members: Tensor, gradients: Tensor, rows: Tensor) -> None:
        self.members, self.gradients, self.rows = members, gradients, rows


def _gradients_and_rows(
    resident: Resident, tokens: Sequence[Tokens], coefficients: Sequence[float], seed: int
) -> tuple[Tensor, Tensor]:
    """cᵢ ∇ℓᵢ and rows rᵢ with E[rᵢᵀ rᵢ] = cᵢ GGNᵢ, both [m, p], from one forward and two backward passes."""
    draws = torch.rand(sum(t.label_count for t in tokens), generator=torch.Generator().manual_seed(seed))
    batch = collate(tokens, resident.pad_id).to(resident.device)
    weights = torch.tensor(coefficients, device=resident.device)
    with dropout_off(resident.model), instance_gradients(resident, len(tokens)) as found:
        logits, instance = label_logits(resident.model, batch)
        counts = torch.bincount(instance, minlength=len(tokens))
        true = mean_per_instance(F.cross_entropy(logits, label_ids(batch), reduction="none"), instance, len(tokens))
        (true @ weights).backward(retain_graph=True)  # type: ignore[no-untyped-call]
        gradients = found.clone()
        found.zero_()
        labels = sample_labels(logits.detach(), draws.to(resident.device))
        sampled = mean_per_instance(F.cross_entropy(logits, labels, reduction="none"), instance, len(tokens))
        (sampled @ (weights * counts).sqrt()).backward()  # type: ignore[no-untyped-call]
    resident.parameters.zero_grad()
    return gradients, found
