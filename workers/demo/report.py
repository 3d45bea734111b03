"""The demonstration's figures, and whether they are good enough."""

import json
import os
import platform
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import Any

from pydantic import BaseModel, ConfigDict

from service.domain.probes import ProbeOutcome
from workers.demo.cast import FORGOTTEN, NEVER_SEEN, RETAINED
from workers.demo.exam import Marks

ERASED_SHARE = 0.80
RETAINED_RISE = 0.05
MEMORISED_SHARE = 0.50


class _Figures(BaseModel):
    model_config = ConfigDict(frozen=True)


class Swap(_Figures):
    """What the inference process says of one version that it put in place.

    `probe_distances`: of its answers from those of the version, the base and the version before, in nats.
    """

    version: str
    digest: str
    download_s: float
    swap_s: float
    weights_are_the_files: bool
    probe: ProbeOutcome
    probe_distances: dict[str, float]
    proven: bool


class Times(_Figures):
    """Wall seconds from the call to the published version; `…_stages`: the runs' own accounts."""

    train: float
    erase: float
    rebuild: float
    retrain_apart: float
    train_stages: dict[str, float]
    erase_stages: dict[str, float]
    rebuild_stages: dict[str, float]

    @property
    def ratio(self) -> float:
        """Erase time in units of the time that training alone takes, without preparing the curvature."""
        return self.erase / self.train_stages["training"]


class Check(_Figures):
    """A demand on the figures, and what they are."""

    demand: str
    figure: str
    is_met: bool


class Report(_Figures):
    """Everything the demonstration measured. `exams`: by version, and `retrained` for the oracle."""

    environment: dict[str, Any]
    request: dict[str, Any]
    exams: dict[str, Marks]
    swaps: tuple[Swap, ...]
    times: Times
    claim_levels: dict[str, str]
    rebuild_difference: float

    def checks(self) -> Iterator[Check]:
        """The demands that decide the exit code."""
        yield self._memorised()
        yield self._erased("v2")
        yield self._kept("v2")
        level = self.claim_levels["v3"]
        yield Check(demand="the request's claim level is E after the rebuild", figure=level, is_met=level == "E")
        proven = [swap.version for swap in self.swaps if swap.proven]
        yield Check(
            demand="every swap is proven: the file's weights, and answers to the probe that only the version gives",
            figure=", ".join(proven) or "none",
            is_met=len(proven) == len(self.swaps) > 0,
        )

    def progress(self, version: str) -> float:
        """How far the forgotten facts' loss went from v1's (0) to the retrained adapter's (1)."""
        start, end = self.exams["v1"].loss(FORGOTTEN), self.exams["retrained"].loss(FORGOTTEN)
        return (self.exams[version].loss(FORGOTTEN) - start) / (end - start)

    def retained_rise(self, version: str) -> float:
        """By how much the retained facts' loss rose over v1's, relative to it."""
        return self.exams[version].loss(RETAINED) / self.exams["v1"].loss(RETAINED) - 1

    def _memorised(self) -> Check:
        trained, unseen = self.exams["v1"].loss(RETAINED), self.exams["v1"].loss(NEVER_SEEN)
        return Check(
            demand=f"v1 has memorised: loss on trained facts at most {MEMORISED_SHARE:.0%} of never-seen facts'",
            figure=f"{trained / unseen:.1%}",
            is_met=trained <= MEMORISED_SHARE * unseen,
        )

    def _erased(self, version: str) -> Check:
        progress = self.progress(version)
        return Check(
            demand=f"{version} forgot: the loss went at least {ERASED_SHARE:.0%} of the way to the retrained one's",
            figure=f"{progress:.1%}",
            is_met=progress >= ERASED_SHARE,
        )

    def _kept(self, version: str) -> Check:
        rise = self.retained_rise(version)
        return Check(
            demand=f"{version} kept the rest: retained loss rose by at most {RETAINED_RISE:.0%}",
            figure=f"{rise:+.1%}",
            is_met=rise <= RETAINED_RISE,
        )

    def to_json(self) -> str:
        """The figures, the answers and the checks."""
        document = self.model_dump(mode="json", exclude={"exams"}) | {
            "losses": {name: _losses(marks) for name, marks in self.exams.items()},
            "forgotten_progress": {name: self.progress(name) for name in ("v2", "v3")},
            "retained_rise": {name: self.retained_rise(name) for name in ("v2", "v3", "retrained")},
            "erase_time_over_training_time": self.times.ratio,
            "answers": {name: _answers(marks) for name, marks in self.exams.items()},
            "checks": [check.model_dump() for check in self.checks()],
        }
        return json.dumps(document, indent=2)


def _losses(marks: Marks) -> dict[str, float]:
    groups = dict.fromkeys(mark.question.group for mark in marks.marks)
    return {group: marks.loss(group) for group in groups}


def _answers(marks: Marks) -> list[dict[str, Any]]:
    asked = (mark for mark in marks.marks if mark.answer is not None)
    return [
        {
            "group": mark.question.group,
            "prompt": mark.question.prompt,
            "expected": mark.question.completion,
            "answer": mark.answer,
            "loss": mark.loss,
        }
        for mark in asked
    ]


def environment(packages: Sequence[str] = ("torch", "transformers", "peft")) -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
        "platform": platform.platform(),
        "processor": platform.machine(),
        "cores": os.cpu_count(),
    }
