"""Show beforehand what a request would do. Changes nothing."""

from dataclasses import dataclass

from service.domain.adapters import ClaimLevel, Strategy
from service.domain.engine import Grade
from service.domain.runs import answering, lane_of
from service.domain.scheduling import Start, Waiting
from service.flows.match import LineMatch, match
from service.flows.near_duplicates import NearDuplicate, near_duplicates
from service.flows.schedule import start_of, start_of_run
from service.flows.strategy import choose, estimated_rebuild_s, policy_of
from service.flows.submit import Submission, due_date, shred_date
from service.flows.token_budget import check_tokens
from service.flows.vault import Vault
from service.store.database import Unit
from service.store.tables import Line


@dataclass(frozen=True, slots=True)
class LinePlan:
    """What would happen on one line. None where nothing was measured yet.

    `grade` and `predicted_fidelity` speak of an influence update, whatever the strategy. `start`: when its run may
    begin; None where somebody has to approve first.
    """

    adapter: str
    version: int
    removals: int
    corrections: int
    exact_duplicates: int
    share: float
    strategy: Strategy
    reason: str
    needs_approval: bool
    retires_line: bool
    estimated_seconds: float | None
    claim_level: ClaimLevel
    grade: Grade | None
    predicted_fidelity: float | None
    start: Start | None
    near_duplicates: tuple[NearDuplicate, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """Every line a request would reach, and the lines whose datasets do not index subjects."""

    lines: tuple[LinePlan, ...]
    unindexed: tuple[str, ...]


def plan(unit: Unit, vault: Vault, command: Submission) -> Plan:
    """Raises what `submit` would raise for the same command."""
    matching = match(unit, vault, command.operations, command.adapters, within=command.within)
    for found in matching.matches:
        check_tokens(found)
    return Plan(tuple(_line(unit, found, command) for found in matching.matches), matching.unindexed)


def _line(unit: Unit, found: LineMatch, command: Submission) -> LinePlan:
    choice = choose(unit, found, command.strategy)
    prediction = choice.prediction
    removals = sum(1 for new in found.edits.values() if new is None)
    return LinePlan(
        adapter=found.line.name,
        version=(unit.versions.find(found.line.head_id) or found.version).number,
        removals=removals,
        corrections=len(found.edits) - removals,
        exact_duplicates=len(found.duplicates),
        share=found.share,
        strategy=choice.strategy,
        reason=choice.reason,
        needs_approval=choice.needs_approval,
        retires_line=found.removes_all,
        estimated_seconds=_estimate(unit, found, choice.strategy),
        claim_level=choice.claim_level,
        grade=None if prediction is None else prediction.grade,
        predicted_fidelity=None if prediction is None else prediction.fidelity,
        start=None if choice.needs_approval else _start(unit, found.line, choice.strategy, command),
        near_duplicates=tuple(near_duplicates(unit, found)),
    )


def _start(unit: Unit, line: Line, strategy: Strategy, command: Submission) -> Start:
    """Of the run that it would join, or else of one of its own."""
    kind = answering(strategy)
    also = [Waiting(unit.now, shred_date(unit, policy_of(line), due_date(unit, command)), command.urgent)]
    queued = unit.runs.queued(line.id, lane_of(kind))
    return start_of(unit, line, kind, also=also) if queued is None else start_of_run(unit, line, queued, also=also)


def _estimate(unit: Unit, found: LineMatch, strategy: Strategy) -> float | None:
    if strategy is Strategy.rebuild:
        return estimated_rebuild_s(found.version, 1 - found.share)
    head = unit.versions.find(found.line.head_id)
    seconds = (head.measurements or {}).get("seconds") if head is not None and head.kind == "influence" else None
    return None if not seconds else sum(float(value) for value in seconds.values())
