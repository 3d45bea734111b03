"""What a run measured, read from its stored report. Older reports hold less, and unreadable parts are counted."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from markupsafe import Markup
from pydantic import TypeAdapter, ValidationError

from service.api.report.distribution_plot import distribution_plot, in_order
from service.api.report.forest_plot import forest_plot, in_margins
from service.domain.measurements import Distribution, Measurement, Outcome, Power, Verified
from service.domain.runs import RunKind

T = TypeVar("T")

_MEASUREMENT, _DISTRIBUTION, _POWER = TypeAdapter(Measurement), TypeAdapter(Distribution), TypeAdapter(Power)

# As `service.domain.engine.Losses` names them, and how the page does.
_LOSSES = (
    ("forget", "forgotten"),
    ("corrected", "corrected"),
    ("retained", "retained"),
    ("holdout", "never seen"),
)


@dataclass(frozen=True, slots=True)
class LossRow:
    """Mean loss of a group, nats a token; None where it was not measured.

    `before` is the loss before an update; of a run that trained or took over an adapter, that of the bare base model.
    """

    group: str
    before: float | None
    after: float | None


@dataclass(frozen=True, slots=True)
class Measured:
    """A run and what it measured. `unreadable`: how many stored entries could not be read."""

    run: str
    kind: RunKind
    version: str | None
    finished_at: datetime | None
    seconds: Mapping[str, float]
    has_report: bool
    losses: Sequence[LossRow]
    verified: Verified | None
    unreadable: int
    passed: bool | None
    reasons: Sequence[str]
    grade: str | None
    fidelity: float | None
    drift: float | None
    retained_kl: float | None

    @property
    def is_update(self) -> bool:
        """Whether it changed an adapter that there was, rather than making one."""
        return self.kind is RunKind.influence

    @property
    def distributions(self) -> Sequence[Distribution]:
        return in_order(self.verified.distributions) if self.verified else ()

    @property
    def tally(self) -> Mapping[Outcome, int]:
        """How many measurements came to which outcome; all outcomes that occur, worst first."""
        found = Counter(one.outcome for one in self.verified.measurements) if self.verified else Counter[Outcome]()
        order = (Outcome.failed, Outcome.inconclusive, Outcome.passed, Outcome.informative)
        return {outcome: found[outcome] for outcome in order if found[outcome]}

    @property
    def unplotted(self) -> int:
        """How many measurements have no interval or no margin, and so no place in the picture."""
        return sum(in_margins(one) is None for one in self.verified.measurements) if self.verified else 0

    @property
    def n_forgotten(self) -> int | None:
        """How many forgotten instances the verdict rests on."""
        counts = [m.n for m in self.verified.measurements if m.group == "forgotten"] if self.verified else []
        return max(counts, default=None)

    def loss_plot(self) -> Markup | None:
        return distribution_plot(f"losses-{self.run}", self.distributions)

    def difference_plot(self) -> Markup | None:
        return forest_plot(f"differences-{self.run}", self.verified.measurements) if self.verified else None


def measured(
    run: str,
    kind: RunKind,
    version: str | None,
    finished_at: datetime | None,
    seconds: Mapping[str, float] | None,
    report: Mapping[str, Any] | None,
) -> Measured:
    """A run as the page tells it."""
    said = finite(report or {})
    verified, unreadable = read_verified(said.get("verified"))
    return Measured(
        run=run,
        kind=kind,
        version=version,
        finished_at=finished_at,
        seconds=finite(seconds or {}),
        has_report=report is not None,
        losses=_losses(said),
        verified=verified,
        unreadable=unreadable,
        passed=said.get("passed"),
        reasons=tuple(map(str, said.get("reasons") or ())),
        grade=said.get("grade"),
        fidelity=said.get("fidelity"),
        drift=said.get("drift"),
        retained_kl=said.get("retained_kl"),
    )


def read_verified(stored: Any) -> tuple[Verified | None, int]:
    """A verification as it was stored, and how many of its entries could not be read."""
    if not isinstance(stored, Mapping):
        return None, 0
    measurements, bad_measurements = _read(_MEASUREMENT, stored.get("measurements") or ())
    distributions, bad_distributions = _read(_DISTRIBUTION, stored.get("distributions") or ())
    power, bad_power = _read(_POWER, stored.get("power") or ())
    drawable = [one for one in distributions if _is_histogram(one)]
    unreadable = bad_measurements + bad_distributions + bad_power + len(distributions) - len(drawable)
    not_run = {str(name): str(why) for name, why in (stored.get("not_run") or {}).items()}
    return Verified(measurements, drawable, sorted(power, key=lambda one: one.n), not_run), unreadable


def finite(value: Any) -> Any:
    """JSON without NaN and infinities: None in their places."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(member) for key, member in value.items()}
    return [finite(member) for member in value] if isinstance(value, list) else value


def _read(adapter: TypeAdapter[T], stored: Iterable[Any]) -> tuple[list[T], int]:
    read, unreadable = [], 0
    for entry in stored:
        try:
            read.append(adapter.validate_python(entry))
        except ValidationError:
            unreadable += 1
    return read, unreadable


def _is_histogram(one: Distribution) -> bool:
    rising = all(low < high for low, high in zip(one.edges, one.edges[1:], strict=False))
    fits = len(one.edges) == len(one.counts) + 1 or (not one.edges and not one.counts)
    return rising and fits and min(one.counts, default=0) >= 0


def _losses(said: Mapping[str, Any]) -> list[LossRow]:
    before, after = said.get("before") or {}, said.get("after") or {}
    rows = [LossRow(name, before.get(key), after.get(key)) for key, name in _LOSSES]
    return [row for row in rows if row.before is not None or row.after is not None]
