"""Each metric's difference from its reference, with its interval, in units of its own margin.

So every metric fits on one axis: within one margin of zero (the shaded band) is harmless. Outcomes differ by shape
and are written out.
"""

from collections.abc import Iterator, Sequence

from markupsafe import Markup

from service.api.report import svg
from service.api.report.scale import Scale, ticks
from service.api.report.words import GROUP_WORDS, OUTCOME_WORDS, measured_on, metric_name, number, short
from service.domain.measurements import Interval, Measurement, Outcome, Wish

WIDTH, LEFT, RIGHT = 720.0, 205.0, 180.0
ROW, TOP, AXIS = 34.0, 10.0, 48.0
LEAST, MOST = 1.6, 6.0
SIZE = 5.5
LONGEST_NAME = 28


def forest_plot(key: str, measurements: Sequence[Measurement]) -> Markup | None:
    """The picture of those that have an interval and a margin; None without any."""
    rows = [(one, span) for one in measurements if (span := in_margins(one)) is not None]
    if not rows:
        return None
    low = max(-MOST, min(-LEAST, *(1.1 * span.low for _, span in rows)))
    high = min(MOST, max(LEAST, *(1.1 * span.high for _, span in rows)))
    across = Scale(low, high, LEFT, WIDTH - RIGHT)
    bottom = TOP + len(rows) * ROW
    parts = list(_axis(across, bottom))
    for position, (one, span) in enumerate(rows):
        parts += _row(one, span, across, TOP + (position + 0.5) * ROW)
    title, size = "Differences from the reference, in margins", (WIDTH, bottom + AXIS)
    return svg.figure(key, title, _description([one for one, _ in rows]), size, parts)


def in_margins(one: Measurement) -> Interval | None:
    """The interval in units of the margin; None where one of them is missing."""
    if one.difference is None or not one.margin:
        return None
    return Interval(one.difference.low / one.margin, one.difference.high / one.margin)


def estimate(one: Measurement) -> float | None:
    """The difference itself; the middle of its interval where there is no reference."""
    if one.reference is not None:
        return one.after - one.reference
    return None if one.difference is None else (one.difference.low + one.difference.high) / 2


def _row(one: Measurement, span: Interval, across: Scale, y: float) -> Iterator[Markup]:
    yield _band(one.wish, across, y)
    yield svg.text(0, y - 2, _fitting(metric_name(one.metric)), "label strong")
    yield svg.text(0, y + 12, f"{GROUP_WORDS[one.group]}, n = {one.n}, margin {short(one.margin)}", "label quiet")
    yield svg.line(across(across.clip(span.low)), y, across(across.clip(span.high)), y, "interval")
    yield from _ends(span, across, y)
    middle = (estimate(one) or 0.0) / (one.margin or 1.0)
    yield mark(one.outcome, across(across.clip(middle)), y)
    assert one.difference is not None, "rows have an interval"
    yield svg.text(WIDTH - RIGHT + 14, y - 2, OUTCOME_WORDS[one.outcome], f"label strong {one.outcome}")
    said = f"{number(estimate(one))} [{number(one.difference.low)}, {number(one.difference.high)}]"
    yield svg.text(WIDTH - RIGHT + 14, y + 12, said, "label quiet")


def _fitting(name: str) -> str:
    """The name as far as there is room; the table has all of it."""
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"


def _band(wish: Wish, across: Scale, y: float) -> Markup:
    """The harmless side: open towards the side that cannot be wrong."""
    left = across.start if wish is Wish.not_above else across(-1)
    right = across.end if wish is Wish.not_below else across(1)
    return svg.element("rect", x=left, y=y - ROW / 2 + 3, width=right - left, height=ROW - 6, class_="band")


def _ends(span: Interval, across: Scale, y: float) -> Iterator[Markup]:
    """A stroke where the interval ends; an arrow where it goes on beyond the picture."""
    for value, edge, inward in ((span.low, across.low, 1), (span.high, across.high, -1)):
        x = across(across.clip(value))
        if (value - edge) * inward < 0:
            yield svg.polyline([(x, y), (x + 7 * inward, y - 4), (x + 7 * inward, y + 4)], "arrow", closed=True)
        else:
            yield svg.line(x, y - 4, x, y + 4, "interval")


def mark(outcome: Outcome, x: float, y: float) -> Markup:
    """A disc for passed, a cross for failed, an open diamond for inconclusive, an open square for no verdict."""
    if outcome is Outcome.passed:
        return svg.element("circle", cx=x, cy=y, r=SIZE, class_="mark passed")
    if outcome is Outcome.failed:
        ends = f"M{x - SIZE:.1f} {y - SIZE:.1f}l{2 * SIZE} {2 * SIZE}m0 {-2 * SIZE}l{-2 * SIZE} {2 * SIZE}"
        return svg.element("path", d=ends, class_="mark failed")
    if outcome is Outcome.inconclusive:
        corners = [(x, y - SIZE - 1.5), (x + SIZE + 1.5, y), (x, y + SIZE + 1.5), (x - SIZE - 1.5, y)]
        return svg.polyline(corners, "mark inconclusive", closed=True)
    return svg.element(
        "rect", x=x - SIZE + 1, y=y - SIZE + 1, width=2 * SIZE - 2, height=2 * SIZE - 2, class_="mark informative"
    )


def _axis(across: Scale, bottom: float) -> Iterator[Markup]:
    marks = ticks(across.low, across.high, about=12)
    for value, label in zip(marks.values, marks.labels, strict=True):
        yield svg.line(across(value), bottom, across(value), bottom + 5, "base")
        yield svg.text(across(value), bottom + 18, label, "label quiet", "middle")
    yield svg.line(across.start, bottom, across.end, bottom, "base")
    yield svg.line(across(0), TOP - 4, across(0), bottom, "zero")
    middle = (across.start + across.end) / 2
    yield svg.text(middle, bottom + 38, "Difference from the reference, in margins", "label", "middle")


def _description(rows: Sequence[Measurement]) -> str:
    said = [f"{measured_on(one)}: {number(estimate(one))}, {OUTCOME_WORDS[one.outcome]}" for one in rows]
    return (
        "Differences from the reference with 95 % intervals; the shaded band is the margin. " + "; ".join(said) + "."
    )
