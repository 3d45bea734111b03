"""The accurate tier: (F + D) x = b over all instances, by preconditioned conjugate gradients."""

from collections.abc import Callable

import torch
from torch import Tensor

from workers.engine.fisher_product import FisherProduct
from workers.engine.solve import Solution

Linear = Callable[[Tensor], Tensor]
"""From a vector [p] fp64 to a vector [p] fp64, linear, symmetric and positive definite."""

# Products are in the model's precision, so a smaller residual would be noise.
TOLERANCE = 1e-3
MAX_PRODUCTS = 50


def pcg(
    product: Linear, precondition: Linear, b: Tensor, *, tolerance: float = TOLERANCE, max_products: int = MAX_PRODUCTS
) -> Solution:
    """Solves product(x) = b by preconditioned conjugate gradients (Golub & Van Loan, algorithm 11.5.1).

    Ends at ‖product(x) − b‖ ≤ tolerance · ‖b‖, or after `max_products` with what it has. The residual is
    the recurrence's own, since a product is dear.

    Memory: 48p bytes beside the operators.
    """
    x = torch.zeros_like(b, dtype=torch.float64)
    remainder = b.double()
    norm = float(remainder.norm())
    direction = precondition(remainder)
    rho = remainder @ direction
    products = 0
    while float(remainder.norm()) > tolerance * norm and products < max_products:
        image = product(direction)
        step = rho / (direction @ image)
        x += step * direction
        remainder = remainder - step * image
        preconditioned = precondition(remainder)
        rho, previous = remainder @ preconditioned, rho
        direction = preconditioned + (rho / previous) * direction
        products += 1
    return Solution(x.to(b.dtype), float(remainder.norm()) / norm if norm > 0 else 0.0, products)


def accurate(
    fisher: FisherProduct,
    damping: Tensor,
    b: Tensor,
    *,
    precondition: Linear | None = None,
    tolerance: float = TOLERANCE,
    max_products: int = MAX_PRODUCTS,
) -> Solution:
    """(F + D)⁻¹ b for a diagonal D [p] > 0, at the resident's weights.

    The preconditioner is D⁻¹ by default. With fewer instances than parameters F has at most one large eigenvalue
    an instance, and D⁻¹ leaves the rest alone; `EkfacCurvature.solve` spreads F over all directions and pays
    off only where instances outnumber parameters.

    Costs 5/3 of a gradient an instance for each product, and holds no rows: the number of instances is not limited.
    """
    return pcg(
        lambda vector: fisher(vector) + damping * vector,
        precondition or (lambda vector: vector / damping),
        b,
        tolerance=tolerance,
        max_products=max_products,
    )
