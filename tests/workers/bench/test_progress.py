"""How far a benchmark is, for whoever looks at a terminal and for whoever reads a log."""

from pathlib import Path

import pytest
from torch import Tensor

from workers.bench.__main__ import _watched
from workers.bench.cases import Case
from workers.bench.ledgers import Share, Task
from workers.bench.plan import ORACLE_SEEDS, Plan, Question
from workers.bench.run import Bench
from workers.bench.settings import Setting

pytestmark = pytest.mark.slow


def told(text: str) -> None:
    pytest.fail(f"whoever watches replaces this: {text}")


@pytest.fixture
def plan() -> Plan:
    return Plan((Question(Task.removal, Share.subject, "memorised", 0),), (0,))


def test_without_a_terminal_every_unit_has_a_line_before_it_begins(
    setting: Setting,
    cache: Path,
    plan: Plan,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    written: list[str] = []

    def looks(case: Case) -> Tensor:
        """Changes nothing, and reads what there is to read by now."""
        written.append(capsys.readouterr().err)
        return case.line.anchor

    bench = Bench(setting, plan, {"looks": looks, "looks again": looks}, cache, told)
    assert len(_watched(bench).results) == 2
    first, second = (text.splitlines() for text in written)
    numbers = [line.split(" ")[0] for line in (*first, *second)]
    assert numbers == [f"{number}/{bench.units}" for number in range(1, bench.units + 1)]
    assert first[0].endswith("training a line, memorised")
    assert [line.split(": ")[-1] for line in first[1:]] == [*(f"oracle {seed}" for seed in ORACLE_SEEDS), "looks"]
    assert [line.split(": ")[-1] for line in second] == ["looks again"]
    assert not capsys.readouterr().err, "nothing is left for the end"


def test_a_terminal_has_one_bar_and_no_lines(
    setting: Setting,
    cache: Path,
    plan: Plan,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    bench = Bench(setting, plan, {"nothing": lambda case: case.line.anchor}, cache, told)
    _watched(bench)
    shown = capsys.readouterr().err
    assert "\x1b[" in shown, "the bar is redrawn in place"
    assert "done" in shown
    assert not any(line.startswith(f"1/{bench.units}") for line in shown.splitlines())
