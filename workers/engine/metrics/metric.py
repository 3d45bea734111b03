"""The form of every metric that one observation is enough for."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from service.domain.measurements import Wish
from workers.engine.metrics.observation import Observation


class Side(StrEnum):
    """Where an instance that is still remembered lies."""

    low = "low"
    high = "high"


@dataclass(frozen=True, slots=True)
class Metric:
    """A score of one instance.

    `wish`: what is wished of the forgotten, measured against the never-seen. `bad`: the side on which the remembered
    lie. `judged`: whether it has an outcome, or only informs. `attack`: the score sets members, where it is low, apart
    from non-members. `needs_base`: the observation must carry the base's loss.

    What is an attack and nothing else is not judged: near chance on few instances, it says little of one's data.
    """

    name: str
    wish: Wish
    bad: Side
    score: Callable[[Observation], float]
    judged: bool = True
    attack: bool = False
    needs_base: bool = False
