"""From the audit chain: when what a kill interrupted was taken up again."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from service.store.database import Unit
from service.store.tables import AuditRow, Run
from tests.load.soak.killer import Kill
from tests.load.soak.plan import Victim

TAKEN_BACK = ("run.requeued", "run.failed")


@dataclass(frozen=True, slots=True)
class Repair:
    """A run that died under a worker or an engine: seconds from the kill until it waited again, and was claimed."""

    victim: Victim
    queued_s: float
    claimed_s: float | None


@dataclass(frozen=True, slots=True)
class _Step:
    at: float
    action: str
    line: tuple[str, str]


def repairs(unit: Unit, audit: Iterable[AuditRow], kills: Sequence[Kill]) -> list[Repair]:
    """For each run that a kill interrupted. A run that was over at that very moment was not."""
    by_run: dict[str, list[_Step]] = defaultdict(list)
    claims: dict[tuple[str, str], list[float]] = defaultdict(list)
    for step, run_id in _steps(unit, audit):
        by_run[run_id].append(step)
        if step.action == "run.claimed":
            claims[step.line].append(step.at)
    found = []
    for kill in kills:
        if kill.victim not in (Victim.worker, Victim.engine):
            continue
        for run_id, _ in kill.interrupted:
            after = next((step for step in by_run[run_id] if step.at > kill.at), None)
            if after is None or after.action not in TAKEN_BACK:
                continue
            # Its successor has another id where requests came in meanwhile, and the same line and lane.
            of_line = claims[after.line]
            index = bisect_right(of_line, after.at)
            claimed = of_line[index] - kill.at if index < len(of_line) else None
            found.append(Repair(kill.victim, after.at - kill.at, claimed))
    return found


def _steps(unit: Unit, audit: Iterable[AuditRow]) -> Iterable[tuple[_Step, str]]:
    lines: dict[str, tuple[str, str]] = {}
    for row in audit:
        if row.action not in ("run.claimed", *TAKEN_BACK):
            continue
        run_id = row.data["run"]
        if run_id not in lines:
            run = unit.session.get_one(Run, run_id)
            lines[run_id] = (run.line_id, run.lane)
        yield _Step(row.created_at.timestamp(), row.action, lines[run_id]), run_id
