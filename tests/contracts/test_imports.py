"""Who may load what, seen from fresh interpreters.

The service runs in an image without torch, and a supervisor must be able to kill and replace a process
that torch has wedged, so neither may load it. import-linter reads the imports in the source; this test
sees what really happens, in dependencies too.
"""

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

TORCH_STACK = {"torch", "transformers", "peft", "accelerate"}
WEB_STACK = {"fastapi", "starlette", "uvicorn"}


def loaded_by(module: str) -> set[str]:
    """The top-level packages in a fresh interpreter that has imported one module."""
    code = f"import {module}, json, sys; print(json.dumps(sorted({{name.partition('.')[0] for name in sys.modules}})))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    return set(json.loads(result.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "module",
    [
        "service.api.app",
        "service.control.__main__",
        "service.control.sender.__main__",
        "service.cli.main",
        "service.store.migrate",
    ],
)
def test_the_service_loads_neither_torch_nor_workers(module: str) -> None:
    assert loaded_by(module).isdisjoint(TORCH_STACK | {"workers"})


@pytest.mark.parametrize("module", ["workers.supervisor", "workers.__main__"])
def test_the_supervisor_loads_neither_torch_nor_the_web_server(module: str) -> None:
    assert loaded_by(module).isdisjoint(TORCH_STACK | WEB_STACK)


def test_the_client_loads_nothing_of_the_services_side() -> None:
    server_side = {"sqlalchemy", "alembic", "redis", "rq", "fsspec", "numpy", "typer"}
    assert loaded_by("service.client").isdisjoint(TORCH_STACK | WEB_STACK | server_side | {"workers"})


def test_the_domain_loads_next_to_nothing() -> None:
    from_outside = loaded_by("service.domain.engine") & {"sqlalchemy", "redis", "rq", "httpx", "numpy", "cryptography"}
    assert not from_outside | (loaded_by("service.domain.engine") & (TORCH_STACK | WEB_STACK))
