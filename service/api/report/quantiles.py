"""Quantiles of a histogram, taken as evenly filled within each interval."""

from service.domain.measurements import Distribution


def quantile(distribution: Distribution, share: float) -> float | None:
    """Where `share` of the group lies below; None for an empty group."""
    total = sum(distribution.counts)
    if total == 0:
        return None
    missing = share * total
    for low, high, count in zip(distribution.edges, distribution.edges[1:], distribution.counts, strict=False):
        if count and missing <= count:
            return low + (high - low) * missing / count
        missing -= count
    return distribution.edges[-1]
