"""When a version that serves a part of the traffic is promoted, and when it is taken back.

Pipelines measure it (error rates, evaluations, latency) and send the values; the line's policy bounds them. A bound
that nobody measured holds promotion up, and one that is violated ends the canary. Only an erasure overrides a wait:
once the version that the alias points at must go, an unmeasured canary takes over, and a violated one does not.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Self

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from service.domain.frozen import Frozen
from service.domain.given import any_given
from service.domain.scalars import Real

Metric = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_.-]{0,62}$")]


class Bound(Frozen):
    """What a measured value must keep to."""

    model_config = ConfigDict(json_schema_extra=any_given("at_most", "at_least"))

    metric: Metric = Field(description="Name under which pipelines send the value.", examples=["error_rate"])
    at_most: Real | None = Field(default=None, description="Greatest value allowed.", examples=[0.02])
    at_least: Real | None = Field(default=None, description="Least value allowed.")

    @model_validator(mode="after")
    def _bounds_something(self) -> Self:
        if self.at_most is None and self.at_least is None:
            raise ValueError("give at_most, at_least or both")
        return self

    def allows(self, value: float) -> bool:
        return (self.at_most is None or value <= self.at_most) and (self.at_least is None or value >= self.at_least)


class CanaryRules(Frozen):
    """How a canary is tried."""

    weight: Real = Field(default=0.1, gt=0, lt=1, description="Share of the traffic that the new version gets.")
    hold_s: Real = Field(default=3600, ge=0, le=30 * 86_400, description="How long it is tried at least.")
    bounds: tuple[Bound, ...] = Field(default=(), max_length=20, description="What must be measured of it, and kept.")


class Verdict(StrEnum):
    promote = "promote"
    abort = "abort"
    wait = "wait"


@dataclass(frozen=True, slots=True)
class Decision:
    """`reasons`: what it waits for, or why it was taken back: `hold`, `unmeasured:<metric>`, `violated:<metric>`."""

    verdict: Verdict
    reasons: tuple[str, ...] = ()


def decide(rules: CanaryRules, *, age_s: float, measured: Mapping[str, float], is_overdue: bool) -> Decision:
    """What is to become of a canary.

    Args:
        measured: the newest value of each metric since it began.
        is_overdue: the version it would replace has to go now, because of an erasure.
    """
    violated = [b.metric for b in rules.bounds if b.metric in measured and not b.allows(measured[b.metric])]
    if violated:
        return Decision(Verdict.abort, tuple(f"violated:{metric}" for metric in violated))
    waits = [f"unmeasured:{bound.metric}" for bound in rules.bounds if bound.metric not in measured]
    waits += ["hold"] if age_s < rules.hold_s else []
    if waits and not is_overdue:
        return Decision(Verdict.wait, tuple(waits))
    return Decision(Verdict.promote, tuple(waits))
