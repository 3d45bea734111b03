"""Leading eigenvectors of a covariance that is only ever seen as a stream of vectors."""

import torch
from torch import Tensor

# Up to this size the covariance itself is kept.
DENSE_SIDE = 1024
# A random range a little wider than what is asked of it is accurate (Halko et al. 2011, arXiv:0909.4061, section 4.2).
OVERSAMPLING = 10
# Directions below this share of the largest are rounding noise of fp32 products.
NOISE = 1e-6


class Covariance:
    """F = Σ x xᵀ [d, d] of vectors x [d], for its `rank` leading eigenvectors.

    A small F is kept whole. Of a larger one only F Ω is, for one random orthonormal Ω [d, l], l = rank + 10:
    the Nyström approximation F Ω (Ωᵀ F Ω)⁺ Ωᵀ F needs no second pass (Tropp et al. 2017, arXiv:1706.05736).

    `total` is F, or F Ω.

    Memory: 8d² bytes up to `dense_side`, else 12dl.
    """

    def __init__(
        self, size: int, rank: int, generator: torch.Generator, device: torch.device, *, dense_side: int = DENSE_SIDE
    ) -> None:
        self.rank = min(rank, size)
        width = self.rank + OVERSAMPLING
        self._probes: Tensor | None = None
        if size > dense_side and width < size:
            self._probes = torch.linalg.qr(torch.randn(size, width, generator=generator))[0].to(device)
        self.total = torch.zeros(size, size if self._probes is None else width, dtype=torch.float64, device=device)

    def add(self, vectors: Tensor) -> None:
        """Adds the vectors [n, d]."""
        vectors = vectors.float()
        images = vectors if self._probes is None else vectors @ self._probes
        self.total += (vectors.T @ images).double()

    def basis(self) -> Tensor:
        """At most `rank` orthonormal eigenvectors [d, k] fp32, the leading one first."""
        if self._probes is None:
            vectors: Tensor = torch.linalg.eigh(self.total)[1]
        else:
            core = self._probes.T.double() @ self.total
            values, coordinates = torch.linalg.eigh((core + core.T) / 2)
            kept = values > NOISE * values[-1].clamp(min=torch.finfo(torch.float64).tiny)
            half = self.total @ (coordinates[:, kept] / values[kept].sqrt())
            vectors = torch.linalg.svd(half, full_matrices=False)[0].flip(1)
        return vectors.flip(1)[:, : self.rank].float().contiguous()
