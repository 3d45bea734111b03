"""bench.json: what was measured, of which method, and where."""

import os
import platform
from importlib.metadata import version
from pathlib import Path
from statistics import fmean

import torch
from pydantic import BaseModel, ConfigDict, field_validator

from workers.bench.measure import Measures

# The method whose wall time all others are shares of.
RETRAIN = "retrain"


class About(BaseModel):
    """Which method answered which question."""

    model_config = ConfigDict(frozen=True)

    method: str
    world: str
    task: str
    share: str
    regime: str
    forget_set: int
    seed: int

    @property
    def question(self) -> tuple[str, str, str]:
        """Task, share and regime: what forget sets and seeds are summed over."""
        return self.task, self.share, self.regime

    @property
    def ledger(self) -> tuple[str, ...]:
        """What exactly was asked, of which line: the same for every method and seed."""
        return self.world, *self.question, str(self.forget_set)


class Result(About, Measures):
    """`cost` is the fraction of a full retrain's instance gradients; `seconds_share` that of its wall time."""

    cost: float
    seconds: float
    seconds_share: float | None = None


class Failure(About):
    """A method that gave no usable answer, and why."""

    reason: str


class Environment(BaseModel):
    """What the figures were measured on."""

    model_config = ConfigDict(frozen=True)

    lethe: str
    python: str
    torch: str
    transformers: str
    peft: str
    platform: str
    device: str
    cpus: int
    threads: int


class Report(BaseModel):
    """Everything a run found."""

    model_config = ConfigDict(frozen=True)

    environment: Environment
    results: tuple[Result, ...]
    failures: tuple[Failure, ...]

    @field_validator("results")
    @classmethod
    def _share_of_a_retrain(cls, results: tuple[Result, ...]) -> tuple[Result, ...]:
        """Wall times as shares of the retrains of the same ledger, where the run has any."""
        retrains: dict[tuple[str, ...], list[float]] = {}
        for result in results:
            if result.method == RETRAIN:
                retrains.setdefault(result.ledger, []).append(result.seconds)
        whole = {ledger: fmean(seconds) for ledger, seconds in retrains.items()}
        return tuple(
            result.model_copy(update={"seconds_share": result.seconds / whole[result.ledger]})
            if result.seconds_share is None and whole.get(result.ledger)
            else result
            for result in results
        )

    def save(self, path: Path) -> None:
        path.write_text(self.model_dump_json(indent=1), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "Report":
        return cls.model_validate_json(path.read_text(encoding="utf-8"))


def environment(device: torch.device) -> Environment:
    """This process's environment."""
    versions = {name: version(name) for name in ("lethe", "torch", "transformers", "peft")}
    return Environment(
        **versions,
        python=platform.python_version(),
        platform=platform.platform(),
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine(),
        cpus=os.cpu_count() or 1,
        threads=torch.get_num_threads(),
    )
