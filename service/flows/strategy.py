"""Choose how a line answers a request, and say why."""

from dataclasses import dataclass
from datetime import datetime

from service.domain.adapters import ClaimLevel, Policy, Strategy
from service.domain.claims import reachable
from service.domain.fidelity import Prediction, expected_too_far
from service.flows.grades import predict_update
from service.flows.match import LineMatch
from service.store.database import Unit
from service.store.tables import Line, Target, Version


@dataclass(frozen=True, slots=True)
class Choice:
    """The strategy one line will use. `claim_level` is what the request can reach in the end.

    `prediction`: what to expect of an influence update, chosen or not; None where that is not known.
    """

    strategy: Strategy
    reason: str
    claim_level: ClaimLevel
    needs_approval: bool
    prediction: Prediction | None


def policy_of(line: Line) -> Policy:
    return Policy.model_validate(line.policy)


def can_rebuild(version: Version) -> bool:
    """A rebuild needs the recipe the anchor was trained by."""
    return version.recipe is not None


def can_influence(version: Version) -> bool:
    """Unknown, hence assumed, while the version is still in preparation."""
    return all(c["supported"] for c in version.capabilities or () if c["name"] == Strategy.influence)


def estimated_rebuild_s(version: Version, retained_share: float) -> float | None:
    """Seconds a retrain took last time, scaled to what is left of the data; None if never measured."""
    seconds = (version.measurements or {}).get("seconds")
    if not seconds:
        return None
    return retained_share * sum(float(seconds.get(stage, 0.0)) for stage in ("training", "preparing"))


def choose(unit: Unit, match: LineMatch, requested: Strategy | None) -> Choice:
    """Apply the request's wish and the line's policy.

    Of the policy: `influence_share`, `rebuild_under_s`, `max_fidelity` and `max_share`.
    """
    policy, version = policy_of(match.line), match.version
    rebuildable = can_rebuild(version)
    prediction = predict_update(unit, match) if can_influence(version) else None
    strategy, reason = _strategy(match, requested, policy, prediction)
    strategies = frozenset({Strategy.influence, Strategy.rebuild} if rebuildable else {Strategy.influence})
    level = reachable(strategies, has_holdout=version.holdout_id is not None)
    needs_approval = policy.require_approval or match.share > policy.max_share
    return Choice(strategy, reason, level, needs_approval, prediction)


def record_choice(target: Target, strategy: Strategy, reason: str, *, at: datetime, run_id: str | None = None) -> None:
    """Give a target its strategy and remember why. `run_id`: the run whose outcome made it change."""
    choice = {
        "strategy": strategy,
        "escalated_from": None if run_id is None else target.strategy,
        "reason": reason,
        "run": run_id,
        "decided_at": at.isoformat(),
    }
    target.strategy, target.choices = strategy, [*(target.choices or ()), choice]


def _strategy(
    match: LineMatch, requested: Strategy | None, policy: Policy, prediction: Prediction | None
) -> tuple[Strategy, str]:
    version, wish = match.version, requested or policy.default_strategy
    if not can_rebuild(version):
        return Strategy.influence, "The line has no recipe, so it cannot be rebuilt."
    if not can_influence(version):
        return Strategy.rebuild, "The line does not support influence updates."
    if match.share > policy.influence_share:
        return Strategy.rebuild, "The selection is larger than the policy's influence_share."
    if wish is not Strategy.auto:
        return wish, "As the line's policy says." if requested is None else "As requested."
    estimate = estimated_rebuild_s(version, 1 - match.share)
    if estimate is not None and estimate <= policy.rebuild_under_s:
        return Strategy.rebuild, "A rebuild is estimated to end within the policy's rebuild_under_s."
    too_far = expected_too_far(prediction, policy)
    if too_far is not None:
        return Strategy.rebuild, too_far
    return Strategy.influence, "A rebuild would take longer than the policy's rebuild_under_s; one follows later."
