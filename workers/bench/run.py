"""Runs a plan: trains lines, retrains oracles, lets every method answer, and measures the answers."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from workers.bench.cases import Case, Line
from workers.bench.cost import metered
from workers.bench.ledgers import Unaskable, draw
from workers.bench.lines import case_of, retrained, trained_line
from workers.bench.measure import Groups, Yardstick
from workers.bench.methods.method import Method
from workers.bench.plan import ORACLE_SEEDS, Plan, Question
from workers.bench.results import Failure, Report, Result, environment
from workers.bench.settings import Setting
from workers.engine.errors import EngineRefusal
from workers.engine.evaluation import spread
from workers.engine.tokens import Tokens, encode

# Instances of each measured group at most.
MEASURED = 120

Advance = Callable[[str], None]
"""Told what is about to be done, once for each of `units`."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What a run needs throughout. `cache` keeps lines and oracles between runs.

    `line` is there where the setting has one of its own; else a line is trained for every regime.
    """

    setting: Setting
    plan: Plan
    methods: Mapping[str, Method]
    cache: Path
    advance: Advance
    line: Line | None = None

    @property
    def units(self) -> int:
        """How many steps a progress bar has: lines, oracles, answers."""
        answers = len(self.plan.questions) * len(self.plan.seeds) * len(self.methods)
        return len(self.plan.regimes) + self.plan.retrains + answers

    def run(self) -> Report:
        """Every method's answer to every question, measured; a method that fails is reported, and the rest goes on."""
        found: list[Result | Failure] = []
        device = torch.device("cpu")
        for regime in self.plan.regimes:
            self.advance(f"training a line, {regime}" if self.line is None else "opening the line")
            line = self.line or trained_line(self.setting, regime, self.cache)
            device = line.resident.device
            for question in self.plan.of(regime):
                found.extend(self._ask(line, question))
        results = tuple(item for item in found if isinstance(item, Result))
        failures = tuple(item for item in found if isinstance(item, Failure))
        return Report(environment=environment(device), results=results, failures=failures)

    def _ask(self, line: Line, question: Question) -> Iterator[Result | Failure]:
        try:
            edits = draw(self.setting, question.task, question.share, question.index)
        except Unaskable as obstacle:
            yield from self._pass_over(question, str(obstacle))
            return
        oracles: list[Tensor] = []
        for seed in ORACLE_SEEDS:
            self.advance(f"{question}: oracle {seed}")
            oracles.append(retrained(line, edits, seed, self.cache))
        yardstick = self._yardstick(line, case_of(line, edits, 0), oracles)
        for seed in self.plan.seeds:
            case = case_of(line, edits, seed)
            for name, method in self.methods.items():
                self.advance(f"{question}: {name}")
                yield self._measure(question, case, name, method, yardstick)

    def _pass_over(self, question: Question, reason: str) -> Iterator[Failure]:
        """Every method's failure to answer what cannot be asked."""
        for _ in ORACLE_SEEDS:
            self.advance(f"{question}: not possible")
        for seed in self.plan.seeds:
            for name in self.methods:
                self.advance(f"{question}: not possible")
                yield Failure.model_validate({**self._about(question, seed, name), "reason": reason})

    def _yardstick(self, line: Line, case: Case, oracles: Sequence[Tensor]) -> Yardstick:
        def encoded(changed: Sequence[str]) -> list[Tokens]:
            contents = [self.setting.reworded[name] for name in changed if name in self.setting.reworded]
            return [encode(line.resident.tokenizer, content, line.data.format) for content in contents]

        removed = [change.instance_id for change in case.changes if change.new is None]
        groups = Groups(
            changed=_every([change.new or change.old for change in case.changes]),
            forgotten=_every(case.old),
            retained=_every(case.retained),
            unseen=[line.tokens[example.id] for example in spread(line.data.holdout, MEASURED)],
            reworded=_every(encoded(removed)),
        )
        return Yardstick.of(line.resident, groups, line.anchor, oracles)

    def _measure(
        self, question: Question, case: Case, name: str, method: Method, yardstick: Yardstick
    ) -> Result | Failure:
        line = case.line
        line.resident.parameters.set(line.anchor)
        about = self._about(question, case.seed, name)
        try:
            with metered(line.resident.model) as cost:
                weights = method(case)
        except (RuntimeError, ValueError, ArithmeticError, EngineRefusal) as error:
            return Failure.model_validate({**about, "reason": f"{type(error).__name__}: {error}"})
        if not bool(torch.isfinite(weights).all()):
            return Failure.model_validate({**about, "reason": "its weights are not finite"})
        share = cost.instance_gradients / line.training_instances
        measures = yardstick.measure(weights)
        return Result.model_validate({**about, "cost": share, "seconds": cost.seconds, **measures.model_dump()})

    def _about(self, question: Question, seed: int, method: str) -> dict[str, object]:
        return {
            "method": method,
            "world": self.setting.name,
            "task": question.task.value,
            "share": question.share.value,
            "regime": question.regime,
            "forget_set": question.index,
            "seed": seed,
        }


def _every(tokens: Sequence[Tokens]) -> list[Tokens]:
    """At most MEASURED of them, evenly spread."""
    if len(tokens) <= MEASURED:
        return list(tokens)
    return [tokens[index * len(tokens) // MEASURED] for index in range(MEASURED)]
