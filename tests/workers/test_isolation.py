"""What the engine child can do to its supervisor, which is: nothing. It is ended and started anew."""

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from service.domain.engine import EngineFailure, FailureClass, FoldResult, Result
from service.failpoints import VARIABLE
from tests.support.waiting import wait_until
from tests.workers.test_engine_process import fold_job
from workers.engine.failures import classify
from workers.engine_process import GIB, EngineProcess, EngineUnavailable

pytestmark = pytest.mark.slow

Start = Callable[..., EngineProcess]


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[EngineProcess] = []

    def start_(armed: str = "", **options: float) -> EngineProcess:
        started.append(EngineProcess({**os.environ, "LETHE_DEVICE": "cpu", VARIABLE: armed}, **options))
        return started[-1]

    yield start_
    for engine in started:
        engine.kill()


def run(engine: EngineProcess, directory: Path, *, deadline_s: float = 120) -> Result:
    directory.mkdir()
    return engine.run(
        fold_job(directory, epochs=1),
        on_progress=lambda progress: None,
        watch=lambda: None,
        wants_yield=lambda: False,
        deadline_s=deadline_s,
    )


def failure(result: Result) -> EngineFailure:
    assert isinstance(result, EngineFailure), result
    return result


def works_again(engine: EngineProcess, directory: Path) -> None:
    assert isinstance(run(engine, directory), FoldResult)


def test_a_device_error_costs_the_child_and_the_next_one_is_well(start: Start, tmp_path: Path) -> None:
    engine = start(f"child.received=raise:torch.AcceleratorError@{tmp_path / 'fired'}")
    failed = failure(run(engine, tmp_path / "first"))
    assert (failed.kind, failed.code) == (FailureClass.fatal_device, "device-error")
    assert engine.pid is None
    works_again(engine, tmp_path / "second")


def test_a_child_that_dies_says_how_and_where(start: Start, tmp_path: Path) -> None:
    engine = start(f"child.computed=kill@{tmp_path / 'fired'}")
    failed = failure(run(engine, tmp_path / "first"))
    assert (failed.kind, failed.code) == (FailureClass.fatal_device, "child-died")
    assert failed.detail.startswith("The engine child was ended by SIGKILL in stage ")
    works_again(engine, tmp_path / "second")


def test_a_child_that_hangs_is_ended_at_the_deadline(start: Start, tmp_path: Path) -> None:
    engine = start(f"child.received=hang@{tmp_path / 'fired'}")
    began = time.monotonic()
    failed = failure(run(engine, tmp_path / "first", deadline_s=25))
    assert (failed.kind, failed.code) == (FailureClass.transient, "deadline")
    assert time.monotonic() - began < 60
    assert engine.pid is None
    works_again(engine, tmp_path / "second")


@pytest.mark.matrix
def test_one_that_stands_still_is_ended_at_the_deadline_too(start: Start, tmp_path: Path) -> None:
    engine = start(f"child.received=stop@{tmp_path / 'fired'}")
    assert failure(run(engine, tmp_path / "first", deadline_s=25)).code == "deadline"
    assert engine.pid is None


def test_a_child_that_outgrows_its_share_is_ended(start: Start, tmp_path: Path) -> None:
    engine = start(f"child.computed=grow:3000@{tmp_path / 'fired'}", memory_bytes=2 * GIB)
    failed = failure(run(engine, tmp_path / "first"))
    assert (failed.kind, failed.code) == (FailureClass.resource, "out-of-memory")
    assert "more than 2.0 GiB of main memory in stage" in failed.detail
    assert engine.pid is None
    works_again(engine, tmp_path / "second")


@pytest.mark.matrix
def test_memory_that_the_system_refuses_is_a_matter_of_resources(start: Start, tmp_path: Path) -> None:
    latch = tmp_path / "fired"
    latch.touch()
    engine = start(f"child.received=grow:3000@{latch}")
    works_again(engine, tmp_path / "first")
    assert engine.pid is not None
    held = int(Path(f"/proc/{engine.pid}/statm").read_text().split()[0]) * resource.getpagesize()
    resource.prlimit(engine.pid, resource.RLIMIT_AS, (held + GIB, resource.RLIM_INFINITY))
    latch.unlink()
    failed = failure(run(engine, tmp_path / "second"))
    assert (failed.kind, failed.code) == (FailureClass.resource, "out-of-memory")
    assert engine.pid is None, "what it holds may be what the next attempt lacks"
    works_again(engine, tmp_path / "third")


def test_pytorchs_allocator_of_main_memory_has_no_error_of_its_own() -> None:
    with pytest.raises(RuntimeError) as refused:
        torch.empty(1 << 46)
    assert not isinstance(refused.value, torch.OutOfMemoryError)
    assert classify(refused.value).kind is FailureClass.resource


def test_a_full_disk_is_transient_whoever_writes(tmp_path: Path) -> None:
    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4_096, resource.RLIM_INFINITY))

    program = (
        "import sys, torch\n"
        "from safetensors.torch import save_file\n"
        "from workers.engine.failures import classify\n"
        "try:\n    save_file({'w': torch.zeros(10_000)}, sys.argv[1])\n"
        "except Exception as error:\n    print(classify(error).kind)\n"
    )
    argv = [sys.executable, "-c", program, str(tmp_path / "file")]
    told = subprocess.run(argv, preexec_fn=limited, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == FailureClass.transient


def test_a_file_that_is_none_of_safetensors_is_not(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"nothing")
    with pytest.raises(SafetensorError) as refused:
        load_file(tmp_path / "file")
    assert classify(refused.value).kind is FailureClass.permanent


def test_one_that_does_not_start_is_not_the_jobs_fault(tmp_path: Path) -> None:
    engine = EngineProcess({**os.environ, "LETHE_DEVICE": "no-such-device"})
    with pytest.raises(EngineUnavailable, match="ended with status 1 before it was ready"):
        run(engine, tmp_path / "first")
    assert engine.pid is None


def test_while_it_starts_its_supervisor_listens(start: Start, tmp_path: Path) -> None:
    class StoppingError(Exception):
        pass

    def stop() -> None:
        raise StoppingError

    engine = start()
    began = time.monotonic()
    with pytest.raises(StoppingError):
        engine.run(
            fold_job(tmp_path, epochs=1),
            on_progress=lambda progress: None,
            watch=stop,
            wants_yield=lambda: False,
            deadline_s=60,
        )
    assert time.monotonic() - began < 5
    assert engine.pid is None


def test_a_child_killed_between_jobs_is_replaced(start: Start, tmp_path: Path) -> None:
    engine = start()
    works_again(engine, tmp_path / "first")
    assert engine.pid is not None
    os.kill(engine.pid, signal.SIGKILL)
    pid = engine.pid
    # Until its parent may learn of it: its main thread is gone before the others are.
    wait_until(lambda: os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None)
    works_again(engine, tmp_path / "second")
