"""Fail-points do nothing unless the process was started to fail, and are all there."""

import ast
import errno
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service import failpoints
from service.failpoints import COMMITS, POINTS, STEPS, VARIABLE, FailPointError, parse, reach
from service.store.database import Store

ROOT = Path(failpoints.__file__).parents[1]


def sources() -> Iterator[Path]:
    for package in ("service", "workers"):
        yield from (ROOT / package).rglob("*.py")


@pytest.fixture(scope="module")
def calls() -> Counter[tuple[str, str]]:
    """Every call with a string literal as its first argument: what is called, by its last two names, and that."""
    found: Counter[tuple[str, str]] = Counter()
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                called = ".".join(ast.unparse(node.func).replace("_store", "store").split(".")[-2:])
                found[called, str(node.args[0].value)] += 1
    return found


def test_every_step_is_in_the_code_exactly_once(calls: Counter[tuple[str, str]]) -> None:
    assert {point: n for (called, point), n in calls.items() if called == "reach"} == dict.fromkeys(STEPS, 1)


def test_every_named_transaction_is_in_the_code_exactly_once(calls: Counter[tuple[str, str]]) -> None:
    assert {name: n for (called, name), n in calls.items() if called == "store.write"} == dict.fromkeys(COMMITS, 1)


def test_only_the_module_itself_knows_the_variable_and_nothing_writes_the_environment() -> None:
    for path in sources():
        text = path.read_text()
        if path != Path(failpoints.__file__):
            assert VARIABLE not in text, path
            assert "os.environ[" not in text, path
            assert "putenv" not in text, path


def test_unarmed_points_do_nothing(sqlite_url: str) -> None:
    for point in POINTS:
        reach(point)
    store = Store(sqlite_url)
    with store.write("answer") as unit:
        unit.emit("request.state")
    with store.read() as unit:
        assert unit.feed.last_seq() == 1
    store.close()


@pytest.mark.parametrize("wrong", ["nowhere=kill", "answer.before_commit=explode", "answer=kill", "relay.hinted"])
def test_a_slip_in_the_variable_ends_the_process_at_its_start(wrong: str) -> None:
    with pytest.raises(ValueError, match=VARIABLE):
        parse(wrong)
    ended = subprocess.run(
        [sys.executable, "-c", "import service.failpoints"],
        env={**os.environ, VARIABLE: wrong},
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    assert ended.returncode == 1


@pytest.fixture
def arm(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    return lambda armed: monkeypatch.setattr(failpoints, "_armed", parse(armed))


def test_before_the_commit_nothing_is_written_and_after_it_all_is(arm: Callable[[str], None], sqlite_url: str) -> None:
    store = Store(sqlite_url)
    for when, written in (("before", 0), ("after", 1)):
        arm(f"answer.{when}_commit=raise")
        with pytest.raises(FailPointError), store.write("answer") as unit:
            unit.emit("request.state")
        with store.read() as unit:
            assert unit.feed.last_seq() == written
    store.close()


def test_a_latch_lets_it_fire_once_and_without_one_it_fires_every_time(
    arm: Callable[[str], None], tmp_path: Path
) -> None:
    latch = tmp_path / "fired"
    arm(f"relay.hinted=raise:builtins.ConnectionError@{latch} store.copied=enospc")
    with pytest.raises(ConnectionError):
        reach("relay.hinted")
    assert latch.exists()
    reach("relay.hinted")
    for _ in range(2):
        with pytest.raises(OSError, match="space") as full:
            reach("store.copied")
        assert full.value.errno == errno.ENOSPC
