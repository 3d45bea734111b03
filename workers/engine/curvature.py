"""The curvature C = Σⱼ sⱼ² rⱼᵀ rⱼ + D as rows and a diagonal: an operator on [p], never a matrix [p, p].

G is a sum over instances, so taking an instance out means dropping its rows (scale 0) and putting one
in means appending rows. C therefore stays positive definite however many instances the ledger names.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

# Columns of the rows that are multiplied at once: with one another, and with a vector.
COLUMNS, LENGTH = 1 << 14, 1 << 16
# Half-precision rows that are widened at once for a product with a vector, so that they stay in the cache.
WIDENED = 16
# Rows on a side of the blocks that a symmetric product is computed in.
SIDE = 512


@dataclass(frozen=True, slots=True)
class Curvature:
    """Blocks of rows [mₖ, p], one scale a row [m] fp64, and D [p] fp32.

    `gram` [m, m] fp64 is R D⁻¹ Rᵀ of the rows before scaling; it depends on the anchor
    alone and is stored with the sketch, so a solve needs only two products with the rows.

    Memory: the rows (bf16 or fp32) and 4p + 8m² bytes; 4 · m · 2¹⁴ more while a Gram matrix is formed.
    Products are in the rows' precision, at least fp32, within a block of columns and summed over blocks in fp64.
    """

    blocks: tuple[Tensor, ...]
    scales: Tensor
    damping: Tensor
    gram: Tensor

    @classmethod
    def of(cls, rows: Tensor, damping: Tensor) -> "Curvature":
        """Curvature of rows [m, p], each at scale 1."""
        scales = torch.ones(len(rows), dtype=torch.float64, device=damping.device)
        return cls((rows,), scales, damping, own_gram_matrix(rows, damping))

    def scaled(self, factors: Tensor) -> "Curvature":
        """Each row's scale times a factor ≥ 0 [m]; 0 drops the row."""
        return replace(self, scales=self.scales * factors.to(self.scales))

    def extended(self, rows: Tensor) -> "Curvature":
        """With further rows [k, p] at scale 1."""
        if len(rows) == 0:
            return self
        cross = torch.cat([gram_matrix(block, rows, self.damping) for block in self.blocks])
        corner = own_gram_matrix(rows, self.damping)
        gram = torch.cat([torch.cat([self.gram, cross], 1), torch.cat([cross.T, corner], 1)])
        scales = torch.cat([self.scales, self.scales.new_ones(len(rows))])
        return replace(self, blocks=(*self.blocks, rows), scales=scales, gram=gram)

    def project(self, vector: Tensor) -> Tensor:
        """The scaled rows times a vector [p] fp64: [m] fp64."""
        found = []
        for block in self.blocks:
            products = torch.zeros(len(block), dtype=torch.float64, device=self.damping.device)
            for piece, rows, columns in _pieces(block):
                products[rows] += piece @ vector[columns].to(piece.dtype)
            found.append(products)
        return self.scales * torch.cat(found)

    def combine(self, coefficients: Tensor) -> Tensor:
        """Σⱼ coefficientⱼ sⱼ rⱼ: [p] fp64."""
        total = torch.zeros_like(self.damping, dtype=torch.float64)
        parts = torch.split(self.scales * coefficients, [len(block) for block in self.blocks])
        for block, part in zip(self.blocks, parts, strict=True):
            for piece, rows, columns in _pieces(block):
                total[columns] += part[rows].to(piece.dtype) @ piece
        return total

    def apply(self, vector: Tensor) -> Tensor:
        """C v [p] fp64, for v [p] fp64."""
        return self.combine(self.project(vector)) + self.damping * vector


def gram_matrix(left: Tensor, right: Tensor, damping: Tensor) -> Tensor:
    """left D⁻¹ rightᵀ [m, k]: products in the rows' precision, summed over blocks of columns in fp64."""
    total = torch.zeros(len(left), len(right), dtype=torch.float64, device=damping.device)
    for (rows, columns), (others, _) in zip(_column_chunks(left), _column_chunks(right), strict=True):
        wide = torch.promote_types(rows.dtype, others.dtype)
        total += ((rows.to(wide) / damping[columns].to(wide)) @ others.T.to(wide)).double()
    return total


def own_gram_matrix(rows: Tensor, damping: Tensor) -> Tensor:
    """rows D⁻¹ rowsᵀ [m, m], computed on one side of its diagonal only; otherwise as `gram_matrix`."""
    total = torch.zeros(len(rows), len(rows), dtype=torch.float64, device=damping.device)
    for part, columns in _column_chunks(rows):
        scaled = part / damping[columns].to(part.dtype).sqrt()
        for start in range(0, len(rows), SIDE):
            end = min(start + SIDE, len(rows))
            total[start:end, :end] += (scaled[start:end] @ scaled[:end].T).double()
    return total.tril() + total.tril(-1).T


def stacked(blocks: Sequence[Tensor], size: int, device: torch.device) -> Tensor:
    """Blocks of rows as one [m, p]; m may be 0."""
    return torch.cat(list(blocks)) if blocks else torch.zeros(0, size, device=device)


def _pieces(block: Tensor) -> Iterator[tuple[Tensor, slice, slice]]:
    """The rows piece by piece in at least single precision, and where each lies. A piece is gone with the next one:
    half precision is widened in one small buffer, which takes no longer than reading the rows does."""
    count, size = block.shape
    wide = torch.promote_types(block.dtype, torch.float32)
    height = max(1, count) if wide == block.dtype else WIDENED
    buffer = None if wide == block.dtype else torch.empty(height, min(size, LENGTH), dtype=wide, device=block.device)
    for top in range(0, count, height):
        rows = slice(top, min(top + height, count))
        for left in range(0, size, LENGTH):
            columns = slice(left, min(left + LENGTH, size))
            piece = block[rows, columns]
            yield piece if buffer is None else _widened(piece, buffer), rows, columns


def _widened(piece: Tensor, buffer: Tensor) -> Tensor:
    height, width = piece.shape
    return buffer[:height, :width].copy_(piece)


def _column_chunks(rows: Tensor) -> Iterator[tuple[Tensor, slice]]:
    """Blocks of columns, half precision widened to fp32, and where they lie."""
    wide = torch.promote_types(rows.dtype, torch.float32)
    for start in range(0, rows.shape[1], COLUMNS):
        columns = slice(start, min(start + COLUMNS, rows.shape[1]))
        yield rows[:, columns].to(wide), columns
