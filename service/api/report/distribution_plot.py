"""How the losses of each group are spread, one histogram below the other on one axis.

What is judged is drawn over what it is judged by: forgotten instances over never-seen ones (dashed), retained
instances over themselves before. Heights are densities and comparable within a row only.
"""

from collections.abc import Iterator, Sequence

from markupsafe import Markup

from service.api.report import svg
from service.api.report.quantiles import quantile
from service.api.report.scale import Scale, ticks
from service.api.report.words import distribution_name, number
from service.domain.measurements import Distribution, Group

WIDTH, GUTTER, MARGIN = 720.0, 150.0, 20.0
ROW, HEIGHT, AXIS = 58.0, 44.0, 46.0
ORDER = (Group.forgotten, Group.corrected, Group.never_seen, Group.retained)


def distribution_plot(key: str, distributions: Sequence[Distribution]) -> Markup | None:
    """The picture; None if every group is empty."""
    rows = in_order([one for one in distributions if sum(one.counts) > 0])
    if not rows:
        return None
    low, high = min(one.edges[0] for one in rows), max(one.edges[-1] for one in rows)
    across = Scale(low, high, GUTTER, WIDTH - MARGIN)
    bottom = len(rows) * ROW + 8
    parts = [*_axis(across, bottom)]
    for position, row in enumerate(rows):
        parts += _row(row, _reference(row, rows), across, (position + 1) * ROW)
    return svg.figure(key, "Losses of each group", _description(rows), (WIDTH, bottom + AXIS), parts)


def in_order(distributions: Sequence[Distribution]) -> list[Distribution]:
    return sorted(distributions, key=lambda one: (ORDER.index(one.group), not one.before))


def _reference(row: Distribution, rows: Sequence[Distribution]) -> Distribution | None:
    """What an `after` should look like."""
    if row.before or row.group not in (Group.forgotten, Group.retained):
        return None
    wanted = Group.never_seen if row.group is Group.forgotten else Group.retained
    found = [one for one in rows if one.group is wanted and one is not row]
    return found[-1] if found else None


def _row(row: Distribution, reference: Distribution | None, across: Scale, base: float) -> Iterator[Markup]:
    drawn = [row] if reference is None else [row, reference]
    up = Scale(0, max(max(density(one)) for one in drawn), base, base - HEIGHT)
    yield svg.text(0, base - 20, distribution_name(row).capitalize(), "label strong")
    yield svg.text(0, base - 4, f"n = {sum(row.counts)}", "label quiet")
    yield svg.polyline(
        _outline(row, across, up), f"fill {row.group} {'before' if row.before else 'after'}", closed=True
    )
    if reference is not None:
        yield svg.polyline(_outline(reference, across, up), "reference")
    yield svg.line(across.start, base, across.end, base, "base")
    middle = quantile(row, 0.5)
    if middle is not None:
        yield svg.line(across(middle), base + 5, across(middle), base - HEIGHT, "median")


def density(distribution: Distribution) -> list[float]:
    """Share of the group per unit of loss, in each interval."""
    total, edges = sum(distribution.counts), distribution.edges
    return [
        count / total / (high - low) for low, high, count in zip(edges, edges[1:], distribution.counts, strict=False)
    ]


def _outline(distribution: Distribution, across: Scale, up: Scale) -> list[tuple[float, float]]:
    """From the first interval that holds anything to the last one."""
    edges, heights = distribution.edges, density(distribution)
    filled = [position for position, height in enumerate(heights) if height]
    first, last = filled[0], filled[-1] + 1
    points = [(across(edges[first]), up(0))]
    for position in range(first, last):
        height = up(heights[position])
        points += [(across(edges[position]), height), (across(edges[position + 1]), height)]
    return [*points, (across(edges[last]), up(0))]


def _axis(across: Scale, bottom: float) -> Iterator[Markup]:
    marks = ticks(across.low, across.high)
    for value, label in zip(marks.values, marks.labels, strict=True):
        yield svg.line(across(value), 8, across(value), bottom, "grid")
        yield svg.text(across(value), bottom + 16, label, "label quiet", "middle")
    middle = (across.start + across.end) / 2
    yield svg.text(middle, bottom + 36, "Loss of an instance, nats per token", "label", "middle")


def _description(rows: Sequence[Distribution]) -> str:
    said = [f"{distribution_name(row)}: median {number(quantile(row, 0.5))}, n = {sum(row.counts)}" for row in rows]
    return "Histograms of losses in nats per token. " + "; ".join(said) + "."
