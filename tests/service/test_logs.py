"""What processes log: never what errors, warnings or other libraries say, which may quote a person's data."""

import ast
import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from service.domain.errors import InvalidInput
from service.logs import DiscreetFormatter
from service.settings import Settings

ROOT = Path(__file__).parents[2]
SECRET = "glimmerwort 4711"
MEMBERS = {"at", "level", "process", "logger", "message", "errors"}


def line(
    name: str, message: str, *arguments: object, level: int = logging.ERROR, error: bool = False
) -> dict[str, Any]:
    record = logging.LogRecord(name, level, __file__, 7, message, arguments, sys.exc_info() if error else None)
    told: dict[str, Any] = json.loads(DiscreetFormatter("worker").format(record))
    assert told.keys() <= MEMBERS
    return told


def logged(raising: BaseException) -> dict[str, Any]:
    try:
        try:
            raise KeyError(SECRET)
        except KeyError as error:
            raise raising from error
    except BaseException:  # noqa: BLE001 - whatever it is
        return line("service.x", "it failed", error=True)


def test_types_and_places_are_told_and_texts_are_not() -> None:
    told = logged(ValueError(SECRET))
    assert (told["level"], told["process"], told["message"]) == ("ERROR", "worker", "it failed")
    assert [error["type"] for error in told["errors"]] == ["ValueError", "KeyError"]
    assert told["errors"][0]["where"][0].endswith("in logged")
    assert SECRET not in json.dumps(told)


def test_a_group_tells_no_texts_either() -> None:
    told = logged(ExceptionGroup(SECRET, [ValueError(SECRET)]))
    assert told["errors"][0]["type"] == "ExceptionGroup"
    assert SECRET not in json.dumps(told)


def test_our_own_errors_say_what_to_do() -> None:
    error = logged(InvalidInput("The master key is malformed.", fix="Make one.", code="master-key-malformed"))[
        "errors"
    ][0]
    assert (error["code"], error["fix"]) == ("master-key-malformed", "Make one.")


@pytest.mark.parametrize(
    "name", ["asyncio", "rq.worker", "httpx", "sqlalchemy.engine", "uvicorn.error", "py.warnings"]
)
def test_of_other_libraries_only_the_place_is_told(name: str) -> None:
    told = line(name, f"failed: {SECRET} %s", SECRET)
    assert SECRET not in json.dumps(told)
    assert "test_logs:7" in told["message"]


def test_a_server_may_say_that_it_is_up() -> None:
    assert line("uvicorn.error", "Listening on %s", "x", level=logging.INFO)["message"] == "Listening on x"


def test_nothing_breaks_out_of_its_line() -> None:
    record = logging.LogRecord("service.x", logging.INFO, __file__, 1, "a\nb\r\x1b[2J", (), None)
    assert len(DiscreetFormatter("api").format(record).splitlines()) == 1


CRASHES = {
    "nobody catches it": f"raise ValueError({SECRET!r})",
    "in a thread": f"t = threading.Thread(target=lambda: int({SECRET!r})); t.start(); t.join()",
    "while an object goes": f"class C:\n    def __del__(self): raise ValueError({SECRET!r})\nx = C(); del x",
    "a warning": f"warnings.warn({SECRET!r})",
    "a task nobody awaits": "async def f():\n    asyncio.ensure_future(g()); await asyncio.sleep(0)\n"
    f"async def g(): raise ValueError({SECRET!r})\nasyncio.run(f()); gc.collect()",
    "a model that does not fit": "class M(pydantic.BaseModel): x: int\n"
    f"M.model_construct(x={SECRET!r}).model_dump_json()\nM(x={SECRET!r})",
}


@pytest.mark.parametrize("code", CRASHES.values(), ids=CRASHES)
def test_a_process_that_crashes_tells_nothing(code: str) -> None:
    setup = (
        "import asyncio, gc, threading, warnings, pydantic\nfrom service.logs import configure_logging\n"
        "configure_logging('DEBUG', process='worker')\n"
    )
    result = subprocess.run([sys.executable, "-c", setup + code], cwd=ROOT, capture_output=True, text=True)
    assert result.stderr, "positive control: something was told"
    assert SECRET not in result.stdout + result.stderr
    assert all(json.loads(told).keys() <= MEMBERS for told in result.stderr.splitlines())


def test_settings_that_do_not_fit_are_not_quoted() -> None:
    with pytest.raises(ValidationError) as error:
        Settings(admin_key="geheim", port=SECRET)  # type: ignore[arg-type]
    assert "port" in str(error.value)
    assert SECRET not in str(error.value)
    assert "geheim" not in str(error.value)


# What our own lines may say: ids, names of lines and loops, types, codes, counts, durations. `error` only where it is
# one of the agent's or the registry's, which speak of servers.
SAYABLE = {
    "count",
    "endpoint_id",
    "error.code",
    "error.detail",
    "failure.code",
    "incident",
    "len(self._behind)",
    "name",
    "other.name",
    "request.method",
    "lane.name",
    "point",
    "route",
    "run_id",
    "scope['method']",
    "seconds * 1000",
    "self._job.replica_id",
    "self.followed",
    "stable.name",
    "status",
    "step",
    "time.monotonic() - began",
    "type(error).__name__",
    "category.__name__",
    "filename",
    "lineno",
}
SPEAKS_OF_SERVERS = {"service/hotswap/agent/agent.py", "service/control/mlflow/mirror.py"}
METHODS = {"debug", "info", "warning", "error", "exception", "critical"}
# It runs inside vLLM and knows versions only.
ELSEWHERE = ROOT / "service" / "hotswap" / "vllm_plugin"


def log_calls() -> list[tuple[str, ast.Call]]:
    files = sorted([*(ROOT / "service").rglob("*.py"), *(ROOT / "workers").rglob("*.py")])
    return [
        (path.relative_to(ROOT).as_posix(), node)
        for path in files
        if ELSEWHERE not in path.parents
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in METHODS
        and ast.unparse(node.func.value) in ("log", "logger")
    ]


def test_our_own_lines_say_nothing_but_what_is_listed() -> None:
    calls = log_calls()
    assert len(calls) > 20
    for place, call in calls:
        message, *arguments = call.args
        assert isinstance(message, ast.Constant), f"{place}:{call.lineno} builds its message"
        allowed = SAYABLE | ({"error"} if place in SPEAKS_OF_SERVERS else set())
        assert {ast.unparse(argument) for argument in arguments} <= allowed, f"{place}:{call.lineno}"
        assert {keyword.arg for keyword in call.keywords} <= {"exc_info"}, f"{place}:{call.lineno}"
