"""What is printed for people: as it was named, and whole where it goes to a file."""

from datetime import UTC, datetime

import pytest

from service.cli.output import WIDTH, Output
from service.cli.tables.adapters import datasets_table
from service.cli.tables.requests import plan_table
from service.client.answers.adapters import Dataset
from service.client.answers.requests import Plan
from service.domain.errors import InvalidInput


def dataset(name: str) -> Dataset:
    return Dataset.model_validate(
        {
            "id": "ds_1",
            "name": name,
            "instance_count": 3,
            "subject_count": 2,
            "duplicate_count": 0,
            "created_at": datetime(2026, 1, 1, tzinfo=UTC),
        }
    )


@pytest.fixture
def output(monkeypatch: pytest.MonkeyPatch) -> Output:
    monkeypatch.delenv("COLUMNS", raising=False)
    return Output(as_json=False)


@pytest.mark.parametrize("name", ["[/]", "[red]alarm[/red]", "a [bold] claim"])
def test_a_name_with_square_brackets(output: Output, capsys: pytest.CaptureFixture[str], name: str) -> None:
    """They are markup to the library that draws tables, which fails at a bracket that closes nothing."""
    found = dataset(name)
    output.many([found], datasets_table([found]))
    output.note(name)
    output.refusal(InvalidInput(name, field=name))
    out, err = capsys.readouterr()
    assert name in out
    assert err.count(name) == 3


def test_a_file_gets_wider_lines_than_a_terminal(output: Output, capsys: pytest.CaptureFixture[str]) -> None:
    name = "x" * (WIDTH - 90)
    found = dataset(name)
    output.many([found], datasets_table([found]))
    assert name in capsys.readouterr().out


def test_a_plan_that_finds_nothing_says_so(output: Output, capsys: pytest.CaptureFixture[str]) -> None:
    plan = Plan.model_validate({"lines": [], "unindexed": ["old-bot"]})
    output.one(plan, plan_table(plan))
    out = capsys.readouterr().out
    assert "No line holds what it names." in out
    assert "no subject index on: old-bot" in out
