"""A whole benchmark in little: lines, oracles, every kind of answer, and what becomes of one that fails."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from workers.bench.cases import Case
from workers.bench.ledgers import Share, Task
from workers.bench.methods import METHODS
from workers.bench.methods.method import Method
from workers.bench.plan import ORACLE_SEEDS, Plan, Question, quick, whole
from workers.bench.results import Report
from workers.bench.run import Bench
from workers.bench.settings import REGIMES, Setting


def breaks(case: Case) -> Tensor:
    raise ValueError("no answer")


def diverges(case: Case) -> Tensor:
    return torch.full_like(case.line.anchor, float("nan"))


def ask(setting: Setting, cache: Path, task: Task, methods: Mapping[str, Method]) -> tuple[Report, list[str]]:
    plan = Plan((Question(task, Share.subject, "memorised", 0),), (0,))
    told: list[str] = []
    bench = Bench(setting, plan, methods, cache, told.append)
    report = bench.run()
    assert len(told) == bench.units
    return report, told


@pytest.mark.slow
class TestRun:
    def test_every_answer_is_measured_and_failures_are_named(self, setting: Setting, cache: Path) -> None:
        ours = {name: method for name, method in METHODS.items() if name in ("nothing", "retrain", "lethe")}
        report, told = ask(setting, cache, Task.removal, {**ours, "breaks": breaks, "diverges": diverges})
        found = {result.method: result for result in report.results}
        assert found.keys() == ours.keys()
        assert {failure.method: failure.reason for failure in report.failures} == {
            "breaks": "ValueError: no answer",
            "diverges": "its weights are not finite",
        }
        assert found["nothing"].cost == 0
        assert found["retrain"].cost == pytest.approx(33 / 36, rel=0.01)
        assert len(ORACLE_SEEDS) >= 5
        assert sum("oracle" in line for line in told) == len(ORACLE_SEEDS)

    def test_corrections_are_answered_too(self, setting: Setting, cache: Path) -> None:
        report, _ = ask(setting, cache, Task.correction, {"lethe": METHODS["lethe"]})
        assert not report.failures
        assert report.results[0].fidelity_reworded is None

    def test_what_cannot_be_asked_is_a_failure_of_every_method(self, setting: Setting, cache: Path) -> None:
        narrow = replace(setting, fits=lambda content: False)
        report, _ = ask(narrow, cache, Task.correction, {"nothing": METHODS["nothing"], "breaks": breaks})
        assert not report.results
        assert {failure.reason for failure in report.failures} == {"no other instance has another response that fits"}
        assert {failure.method for failure in report.failures} == {"nothing", "breaks"}


class TestPlans:
    def test_the_quick_plan_asks_for_a_tenth_and_for_one_subject(self) -> None:
        assert {(q.task, q.share) for q in quick().questions} == {
            (Task.removal, Share.tenth),
            (Task.removal, Share.subject),
        }

    def test_the_whole_plan_has_every_task_in_both_regimes_on_three_sets_and_seeds(self) -> None:
        plan = whole(regimes=REGIMES)
        assert {q.task for q in plan.questions} == set(Task)
        assert plan.regimes == REGIMES
        assert {q.index for q in plan.questions} == {0, 1, 2}
        assert plan.seeds == (0, 1, 2)
        assert {q.task for q in plan.questions if q.share is Share.two_fifths} == {Task.correction}


def test_our_own_methods_are_recognisable_and_the_required_peers_are_there() -> None:
    required = {
        "nothing",
        "retrain",
        "gradient-ascent",
        "graddiff",
        "npo",
        "simnpo",
        "task-arithmetic",
        "sisa",
        "lissa",
    }
    required |= {
        "lissa",
        "llmeraser-written",
        "llmeraser-released",
        "gauss-newton-cg",
        "datainf",
        "ekfac",
        "k-fade",
        "win-u",
    }
    assert required <= METHODS.keys()
    assert sum(name.startswith("lethe") for name in METHODS) >= 4
