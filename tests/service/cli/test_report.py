"""`lethe report`: a summary on the terminal, JSON for machines, the page in a file."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from service.store.tables import Run
from tests.support.house import House, people
from tests.support.verification import VERIFIED

Lethe = Callable[..., Any]


@pytest.fixture
def request_id(house: House, lethe: Lethe) -> str:
    """A request that was answered and verified."""
    line = house.line("support-bot", people(10))
    asked = str(lethe("forget", "--subject", "Person 3", "--no-wait", "--json").json["id"])
    claimed = house.serve(line, fidelity=1.24, reasons=("A [reason].",))
    with house.store.write() as unit:
        run = unit.session.get(Run, claimed.run_id)
        assert run is not None
        run.report = {**(run.report or {}), "verified": asdict(VERIFIED)}
    return asked


def test_the_summary(lethe: Lethe, request_id: str) -> None:
    shown = lethe("report", request_id)
    assert shown.code == 0
    for part in (
        request_id, "support-bot", "v2", "0.1 → 0.9", "1.24", "influence. As the line's policy says.", "A [reason].",
        "extraction strength", "[-0.31, 0.15]", "● passed", "✕ failed", "◇ inconclusive", "▫ no verdict",
        "relearning was not run",
    ):  # fmt: skip
        assert part in shown.out, part


def test_json(lethe: Lethe, request_id: str) -> None:
    shown = lethe("report", request_id, "--json").json
    assert shown["targets"][0]["runs"][0]["measurements"]["verified"]["not_run"] == VERIFIED.not_run


def test_the_page_in_a_file(lethe: Lethe, request_id: str, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    shown = lethe("report", request_id, "--html", page)
    assert shown.code == 0
    assert str(page) in shown.err.replace("\n", "")
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_request_without_runs(house: House, lethe: Lethe) -> None:
    house.line("support-bot", people(10))
    asked = lethe("forget", "--subject", "Person 3", "--no-wait", "--json").json["id"]
    assert "queued" in lethe("report", asked).out


def test_an_unknown_request_is_refused(lethe: Lethe, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    assert lethe("report", "req_0", "--html", page).code == 2
    assert not page.exists()
