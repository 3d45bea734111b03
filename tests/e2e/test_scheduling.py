"""A real relay, a real Redis and a real worker keep a line's window."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from service.domain.runs import RunKind
from tests.support.deployment import Deployment
from tests.support.house import people, remove
from tests.workers.tiny_llama import save_tiny_llama

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]

WINDOW_S = 2.0


@pytest.fixture
def deployment(tmp_path: Path, redis_url: str) -> Iterator[Deployment]:
    deployment = Deployment(tmp_path / "home", redis_url)
    deployment.start("service.control")
    deployment.start("workers")
    yield deployment
    deployment.stop()


def test_five_requests_within_the_window_become_one_run_and_one_version(
    deployment: Deployment, tmp_path: Path
) -> None:
    line = deployment.trained_line("bot", save_tiny_llama(tmp_path / "base"), people(8), coalesce_s=WINDOW_S)
    requests = [deployment.submit(remove(f"p{number}-0")) for number in range(5)]
    for request in requests:
        deployment.until_succeeded(request)
    with deployment.store.read() as unit:
        (run,) = [run for run in unit.runs.list(after=None, limit=50).items if run.kind is RunKind.influence]
        assert [version.number for version in unit.versions.of_line(line)] == [1, 2]
        first = unit.targets.of_request(requests[0])[0]
    assert run.started_at is not None
    waited = run.started_at - first.created_at
    assert timedelta(seconds=WINDOW_S) <= waited < timedelta(seconds=WINDOW_S + 2)
