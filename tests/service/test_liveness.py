"""The probe of processes without a port."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from service.control.relay import keep
from service.liveness import main, mark, stale

LIMIT_S = 60.0


def age(directory: Path, loop: str, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(directory / loop, (then, then))


def test_a_process_is_well_while_all_its_loops_are(tmp_path: Path) -> None:
    for loop in ("relay", "MLflow mirror"):
        mark(tmp_path / "alive", loop)
    assert stale(tmp_path / "alive", seconds=LIMIT_S) == []
    age(tmp_path / "alive", "MLflow-mirror", LIMIT_S + 1)
    assert stale(tmp_path / "alive", seconds=LIMIT_S) == ["MLflow-mirror"]


def test_one_that_has_done_nothing_yet_is_not_well(tmp_path: Path) -> None:
    assert stale(tmp_path, seconds=LIMIT_S) is None
    assert main(["", str(tmp_path / "nowhere"), "60"]) == 1


def test_a_pass_that_fails_leaves_no_mark(tmp_path: Path) -> None:
    passes = iter([False, False, True])
    keep(_fail, stopped=lambda _: next(passes), pause_s=0, name="broken", marks=tmp_path)
    assert stale(tmp_path, seconds=LIMIT_S) is None


def _fail() -> None:
    raise ConnectionError


def test_where_nobody_looks_there_are_no_marks() -> None:
    mark(None, "relay")


@pytest.mark.parametrize(("seconds", "status"), [(0.0, 0), (LIMIT_S + 1, 1)])
def test_it_is_asked_as_a_command(tmp_path: Path, seconds: float, status: int) -> None:
    mark(tmp_path, "relay")
    age(tmp_path, "relay", seconds)
    command = [sys.executable, "-m", "service.liveness", str(tmp_path), str(LIMIT_S)]
    assert subprocess.run(command, capture_output=True).returncode == status
