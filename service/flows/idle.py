"""When idle workers may train leave-group-out adapters for a line.

Never on what somebody asked to be forgotten: a line with open requests or a ledger waits for its next anchor.
"""

from service.domain.engine import OUT_OF_FOLD
from service.domain.runs import Lane
from service.domain.states import RunState
from service.flows.strategy import can_influence, can_rebuild, policy_of
from service.store.database import Unit
from service.store.tables import Line, Run, Version

BUSY_LANES = (Lane.answer, Lane.compact)


def wants_folds(unit: Unit, line: Line) -> bool:
    """Whether the policy asks for folds, some are missing, and nothing trained on is to be forgotten."""
    anchor = unit.versions.find(line.anchor_id)
    return (
        policy_of(line).out_of_fold
        and anchor is not None
        and can_rebuild(anchor)
        and can_influence(anchor)
        and not has_every_fold(anchor)
        and not unit.targets.open_of_line(line.id)
        and not unit.ledger.targets_with_tail(line.id)
    )


def has_every_fold(anchor: Version) -> bool:
    return any(c["supported"] for c in anchor.capabilities or () if c["name"] == OUT_OF_FOLD)


def is_idle(unit: Unit, pool: str) -> bool:
    """Whether the pool has nothing to do but idle work."""
    return not unit.runs.any_in_pool(pool, BUSY_LANES, RunState.queued, RunState.running)


def is_due(unit: Unit, run: Run) -> bool:
    """Whether a worker may be told of a queued run: idle work waits until its pool is."""
    return run.lane is not Lane.idle or is_idle(unit, run.pool)
