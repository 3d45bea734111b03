"""EK-FAC: the Gauss–Newton matrix with one Kronecker-factored block for each LoRA matrix.

K-FAC (Martens & Grosse 2015, arXiv:1503.05671) takes a block's eigenvectors to be Kronecker products of those
of its inputs' and of its output gradients' covariances; EK-FAC (George et al. 2018, arXiv:1806.03884) then
measures the eigenvalues along them. A LoRA matrix has one side of size r, whose basis is complete, and a long
one, of which k leading eigenvectors are kept; the rest of it gets one mean eigenvalue for each direction of r.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from workers.engine.eigen import Covariance
from workers.engine.fisher import fisher_rows
from workers.engine.fisher_product import with_sampled_labels
from workers.engine.lora_hooks import watched
from workers.engine.losses import instance_losses
from workers.engine.resident import Resident
from workers.engine.right_hand_side import dropout_off
from workers.engine.tokens import Tokens, collate

RANK = 256
# A matrix that no gradient reaches still needs a level to divide by.
FLOOR_SHARE, SMALLEST = 1e-6, 1e-30


@dataclass(frozen=True, slots=True)
class EkfacBlock:
    """One LoRA matrix, at `columns` of the vector, as M [r, d]: `A` itself, and `B` transposed.

    `short` [r, r] and `long` [d, k] are orthonormal. `eigenvalues` [r, k] lie along their products, and
    `tail` [r] is the mean of the other d − k along each of `short`; it is 0 where k = d.
    """

    columns: slice
    transposed: bool
    short: Tensor
    long: Tensor
    eigenvalues: Tensor
    tail: Tensor

    @property
    def size(self) -> int:
        return len(self.short) * len(self.long)

    @property
    def trace(self) -> float:
        d, k = self.long.shape
        return float(self.eigenvalues.double().sum() + (d - k) * self.tail.double().sum())

    def matrices(self, vectors: Tensor) -> Tensor:
        """M [..., r, d] of vectors [..., p]."""
        r, d = len(self.short), len(self.long)
        part, leading = vectors[..., self.columns], vectors.shape[:-1]
        return part.reshape(*leading, d, r).mT if self.transposed else part.reshape(*leading, r, d)

    def vector(self, matrix: Tensor) -> Tensor:
        """The inverse of `matrices` for one M [r, d]: this block's part of a vector."""
        return (matrix.T if self.transposed else matrix).reshape(-1)

    def map(self, vector: Tensor, act: Callable[[Tensor], Tensor]) -> Tensor:
        """This block's part of a vector [p], multiplied by act(eigenvalue) along each eigenvector."""
        short, long = self.short.to(vector), self.long.to(vector)
        rotated = short.T @ self.matrices(vector)
        inside = rotated @ long
        image = (act(self.eigenvalues.to(vector)) * inside) @ long.T
        if long.shape[1] < len(long):
            image += act(self.tail.to(vector))[:, None] * (rotated - inside @ long.T)
        return self.vector(short @ image)


@dataclass(frozen=True, slots=True)
class EkfacCurvature:
    """An approximation of G = Σ wᵢ GGNᵢ that is diagonal in a known basis. All vectors are [p].

    Memory: 4 · Σ (dk + rk + r²) bytes over the LoRA matrices, about k/r times the adapter.
    """

    blocks: tuple[EkfacBlock, ...]

    @classmethod
    def fit(
        cls,
        resident: Resident,
        tokens: Sequence[Tokens],
        weights: Sequence[float],
        generator: torch.Generator,
        rank: int = RANK,
    ) -> "EkfacCurvature":
        """At the resident's weights, in two passes over the instances: 7/3 gradients each.

        Memory: the first pass keeps both covariances of every matrix (`Covariance`: 8d² bytes up to d = 1024,
        12d(k + 10) beyond); the second the bases and 4 · 16 · p bytes of rows.
        """
        bases = [
            _bare(resident, name, short.basis(), long.basis())
            for name, (short, long) in kronecker_factors(resident, tokens, weights, generator, rank).items()
        ]
        return cls(_with_eigenvalues(bases, fisher_rows(resident, tokens, weights, generator)))

    @property
    def trace(self) -> float:
        return sum(block.trace for block in self.blocks)

    def mean_eigenvalues(self) -> Tensor:
        """The mean eigenvalue of each entry's LoRA matrix [p], above 0: at least a millionth of the whole mean."""
        like = self.blocks[0].eigenvalues
        floor = max(FLOOR_SHARE * self.trace / sum(block.size for block in self.blocks), SMALLEST)
        means = [max(block.trace / block.size, floor) for block in self.blocks]
        return torch.cat([like.new_full((b.size,), m) for b, m in zip(self.blocks, means, strict=True)])

    def apply(self, vector: Tensor, damping: Tensor | float = 0.0) -> Tensor:
        """(G + damping) v."""
        return torch.cat([block.map(vector, _plus(_level(damping, block))) for block in self.blocks])

    def solve(self, b: Tensor, damping: Tensor | float) -> Tensor:
        """(G + damping)⁻¹ b, with damping above 0.

        A diagonal [p] enters as its mean over each LoRA matrix, since it does not commute with the basis.
        """
        return torch.cat([block.map(b, _inverse(_level(damping, block))) for block in self.blocks])


def kronecker_factors(
    resident: Resident, tokens: Sequence[Tokens], weights: Sequence[float], generator: torch.Generator, rank: int
) -> dict[str, tuple[Covariance, Covariance]]:
    """Covariances (of the side r, of the long side) of each LoRA matrix, from gradients g of sampled losses.

    Output side: Σᵢ wᵢ Tᵢ Σₜ g gᵀ, the scale of `fisher_rows`. Input side: Σᵢ wᵢ Σₜ a aᵀ, which over Σᵢ wᵢ Σₜ 1 is
    the mean that K-FAC wants; eigenvectors do not depend on that. If tokens are independent, the product of the
    two is E Σ rᵢ rᵢᵀ. Only tokens that the loss reaches count: padding and what follows the last label have g = 0.
    """
    instances = with_sampled_labels(resident, tokens, generator)
    seed = int(torch.randint(1 << 31, (), generator=generator))

    def attempt(size: int) -> dict[str, tuple[Covariance, Covariance]]:
        factors = _no_factors(resident, rank, torch.Generator().manual_seed(seed))
        for start in range(0, len(instances), size):
            _add_factors(factors, resident, instances[start : start + size], weights[start : start + size])
        return factors

    return resident.micro_batch.attempt(attempt)


def _no_factors(resident: Resident, rank: int, generator: torch.Generator) -> dict[str, tuple[Covariance, Covariance]]:
    shapes = zip(resident.parameters.names, resident.parameters.shapes, strict=True)
    return {
        name: (
            Covariance(resident.lora.r, resident.lora.r, generator, resident.device),
            Covariance(shape[0] if _transposed(name) else shape[1], rank, generator, resident.device),
        )
        for name, shape in shapes
    }


def _add_factors(
    factors: dict[str, tuple[Covariance, Covariance]],
    resident: Resident,
    tokens: Sequence[Tokens],
    weights: Sequence[float],
) -> None:
    roots = torch.tensor(weights, device=resident.device).sqrt()
    counts = torch.tensor([instance.label_count for instance in tokens], device=resident.device)

    def add(name: str, inputs: Tensor, gradient: Tensor) -> None:
        reached = (gradient != 0).any(-1)
        given = (roots[:, None, None] * inputs.float())[reached]
        received = ((roots * counts.sqrt())[:, None, None] * gradient.float())[reached]
        short, long = factors[name]
        short.add(given if _transposed(name) else received)
        long.add(received if _transposed(name) else given)

    with dropout_off(resident.model), watched(resident, len(tokens), add):
        batch = collate(tokens, resident.pad_id).to(resident.device)
        instance_losses(resident.model, batch).sum().backward()  # type: ignore[no-untyped-call]
    resident.parameters.zero_grad()


def _transposed(name: str) -> bool:
    """Whether the long side of a LoRA matrix is its rows."""
    return ".lora_B." in name


def _bare(resident: Resident, name: str, short: Tensor, long: Tensor) -> EkfacBlock:
    """A block with a basis and no eigenvalues yet."""
    columns = resident.parameters.slices[name]
    values = long.new_zeros(len(short), long.shape[1])
    return EkfacBlock(columns, _transposed(name), short, long, values, long.new_zeros(len(short)))


def _with_eigenvalues(blocks: Sequence[EkfacBlock], rows: Iterable[Tensor]) -> tuple[EkfacBlock, ...]:
    """The blocks with Σᵢ (uᵀ Rᵢ v)² along each pair of eigenvectors, from blocks [≤ 16, p] of rows."""
    inside = [torch.zeros_like(block.eigenvalues, dtype=torch.float64) for block in blocks]
    whole = [torch.zeros_like(block.tail, dtype=torch.float64) for block in blocks]
    for part in rows:
        for index, block in enumerate(blocks):
            rotated = block.short.T @ block.matrices(part)
            inside[index] += (rotated @ block.long).double().square().sum(0)
            whole[index] += rotated.double().square().sum((0, 2))
    return tuple(
        replace(block, eigenvalues=kept.float(), tail=_tail(block, total - kept.sum(1)).float())
        for block, kept, total in zip(blocks, inside, whole, strict=True)
    )


def _tail(block: EkfacBlock, left: Tensor) -> Tensor:
    d, k = block.long.shape
    return left.clamp(min=0) / (d - k) if k < d else torch.zeros_like(left)


def _level(damping: Tensor | float, block: EkfacBlock) -> float:
    return float(damping[block.columns].double().mean()) if isinstance(damping, Tensor) else damping


def _plus(level: float) -> Callable[[Tensor], Tensor]:
    return lambda values: values + level


def _inverse(level: float) -> Callable[[Tensor], Tensor]:
    return lambda values: 1 / (values + level)
