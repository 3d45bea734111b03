"""Choose how a line answers a request, and say why."""

from dataclasses import dataclass

from service.domain.adapters import ClaimLevel, Policy, Strategy
from service.flows.match import LineMatch
from service.store.tables import Line, Version


@dataclass(frozen=True, slots=True)
class Choice:
    """The strategy one line will use. `claim_level` is what the request can reach in the end."""

    strategy: Strategy
    reason: str
    claim_level: ClaimLevel
    needs_approval: bool


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


def choose(match: LineMatch, requested: Strategy | None) -> Choice:
    """Apply the request's wish and the line's policy (`influence_share`, `rebuild_under_s`, `max_share`)."""
    policy, version = policy_of(match.line), match.version
    rebuildable = can_rebuild(version)
    strategy, reason = _strategy(match, requested or policy.default_strategy, policy)
    level = ClaimLevel.exact if rebuildable else ClaimLevel.measured
    if not rebuildable and version.holdout_id is None:
        level = ClaimLevel.inconclusive
    return Choice(strategy, reason, level, policy.require_approval or match.share > policy.max_share)


def _strategy(match: LineMatch, wish: Strategy, policy: Policy) -> tuple[Strategy, str]:
    version = match.version
    if not can_rebuild(version):
        return Strategy.influence, "The line has no recipe, so it cannot be rebuilt."
    if not can_influence(version):
        return Strategy.rebuild, "The line does not support influence updates."
    if match.share > policy.influence_share:
        return Strategy.rebuild, "The selection is larger than the policy's influence_share."
    if wish is not Strategy.auto:
        return wish, "As requested."
    estimate = estimated_rebuild_s(version, 1 - match.share)
    if estimate is not None and estimate <= policy.rebuild_under_s:
        return Strategy.rebuild, "A rebuild is estimated to end within the policy's rebuild_under_s."
    return Strategy.influence, "A rebuild would take longer than the policy's rebuild_under_s; one follows later."
