"""What is demanded of a soak, and its figures as text."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.load.soak.figures import Figures
from tests.load.soak.plan import Victim

INTAKE_P99_S = 0.1
REPAIR_S = 90.0


@dataclass(frozen=True, slots=True)
class Demand:
    """`concerns_speed`: a busy machine may break it; nothing excuses the others."""

    name: str
    is_kept: bool
    concerns_speed: bool = False


def demands(figures: Figures) -> list[Demand]:
    """All of them."""
    # The reconciler's part; when a run is then claimed depends on how many wait before it.
    repaired = [repair.queued_s for repair in figures.repairs]
    claimed = [repair.claimed_s for repair in figures.repairs]
    back = [kill.back_s for kill in figures.kills if kill.victim is not Victim.engine]
    return [
        Demand("every request is accepted", figures.unanswered == 0),
        Demand("no accepted request is lost", figures.absent == 0 and figures.unfinished == 0),
        Demand("no duplicates", figures.extra_requests + figures.extra_versions + figures.extra_ends == 0),
        Demand("every end is told", figures.undelivered == 0 and figures.untold == 0),
        Demand("the invariants hold", figures.broken_invariant is None),
        Demand("nothing is left in staging", figures.leftovers == 0),
        Demand("every kill of the plan is dealt", len(figures.kills) == figures.planned_kills),
        Demand("everything comes back", None not in claimed and None not in back),
        Demand(
            f"intake p99 at most {1000 * INTAKE_P99_S:.0f} ms while every API process runs",
            share(figures.undisturbed_waits, 0.99) <= INTAKE_P99_S,
            concerns_speed=True,
        ),
        Demand(
            f"within {REPAIR_S:.0f} s everything is back, and what was interrupted waits again",
            max((*repaired, *(seconds for seconds in back if seconds is not None)), default=0.0) <= REPAIR_S,
            concerns_speed=True,
        ),
    ]


def share(ordered: Sequence[float], of: float) -> float:
    """The value that this share of the values does not exceed; 0 of none."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * of))] if ordered else 0.0


def report(figures: Figures) -> Iterator[str]:
    """The figures, a line each."""
    states = ", ".join(f"{number} {state}" for state, number in sorted(figures.states.items()))
    yield _row("accepted", f"{figures.accepted} of {figures.planned} ({states})")
    yield _row("lost", f"{figures.absent} absent, {figures.unfinished} not at their end")
    yield _row(
        "duplicates",
        f"{figures.extra_requests} requests, {figures.extra_versions} versions of one ledger state, "
        f"{figures.extra_ends} events or webhooks",
    )
    yield _row("webhooks", f"{figures.undelivered} undelivered, {figures.untold} requests whose end was not heard of")
    yield _row("invariants", f"broken: {figures.broken_invariant}" if figures.broken_invariant else "hold")
    yield _row("staging", f"{figures.leftovers} directories left")
    retried = [sent for sent in figures.sent if sent.attempts > 1]
    replayed = sum(sent.is_replayed for sent in retried)
    yield _row("retried", f"{len(retried)} requests, {replayed} of which had been accepted unheard")
    yield _row("intake", f"{_milliseconds(figures.undisturbed_waits)} (while every API process ran)")
    yield _row("intake, all", f"{_milliseconds(figures.waits)} (from the moment due, kills and retries included)")
    yield from _repairs(figures)
    made = ", ".join(f"{number} {run}" for run, number in sorted(figures.runs.items()))
    yield _row("versions", f"{figures.versions} published; runs: {made}")
    yield _row("wall time", f"{figures.wall_s:.0f} s, of which {figures.drained_s:.0f} s after the last request")
    for demand in demands(figures):
        yield _row("kept" if demand.is_kept else "BROKEN", demand.name)


def _repairs(figures: Figures) -> Iterator[str]:
    counts = Counter(kill.victim for kill in figures.kills)
    told = ", ".join(f"{counts[victim]} {victim}" for victim in Victim)
    yield _row("kills", f"{len(figures.kills)} of {figures.planned_kills}: {told}")
    for victim in Victim:
        back = [kill.back_s for kill in figures.kills if kill.victim is victim and kill.back_s is not None]
        if back:
            yield _row(f"{victim} back", _seconds(back))
        mine = [repair for repair in figures.repairs if repair.victim is victim]
        if mine:
            claimed = [repair.claimed_s for repair in mine if repair.claimed_s is not None]
            yield _row(f"{victim}'s runs", f"queued again {_seconds([repair.queued_s for repair in mine])}")
            yield _row("", f"claimed again {_seconds(claimed)}")


def _row(name: str, value: str) -> str:
    return f"{name:15} {value}"


def _milliseconds(ordered: Sequence[float]) -> str:
    p50, p99 = (1000 * share(ordered, of) for of in (0.5, 0.99))
    worst = 1000 * max(ordered, default=0.0)
    return f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, max {worst:.0f} ms of {len(ordered)}"


def _seconds(values: Sequence[float]) -> str:
    return f"p50 {share(sorted(values), 0.5):.1f} s, max {max(values, default=0.0):.1f} s of {len(values)}"
