"""Control is killed in the middle of a swap: the next one finishes it, and nothing is served that must not be."""

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.domain.serving import SwapStep
from tests.support.deployment import Deployment
from tests.support.serving import Serving
from tests.support.vllm_double import VllmDouble, vllm_double
from tests.support.waiting import wait_until

pytestmark = pytest.mark.faults

TOKEN_S = 0.1


@pytest.fixture
def serving(tmp_path: Path, redis_url: str) -> Iterator[Serving]:
    deployment = Deployment(tmp_path / "home", redis_url, lease_s=3, serving_dir=tmp_path / "serving")
    yield Serving(deployment, tmp_path)
    deployment.stop()


@pytest.fixture
def server(serving: Serving) -> Iterator[VllmDouble]:
    with vllm_double(serving.base, max_loras=4, token_s=TOKEN_S) as double:
        yield double


def generation(server: VllmDouble, name: str, tokens: int, answers: list[httpx.Response]) -> threading.Thread:
    """One that takes `tokens` times TOKEN_S."""
    body = {"model": name, "prompt": [1, 2, 3], "max_tokens": tokens, "temperature": 0, "logprobs": 1}

    def ask() -> None:
        answers.append(httpx.post(f"{server.url}/v1/completions", json=body, timeout=60))

    thread = threading.Thread(target=ask)
    thread.start()
    return thread


def test_killed_while_it_waits_for_generations_with_the_old_version(serving: Serving, server: VllmDouble) -> None:
    deployment = serving.house
    assert isinstance(deployment, Deployment)
    control = deployment.start("service.control")
    serving.publish()
    target = serving.register(server.url)

    def current() -> bool:
        (replica,) = serving.replicas(target)
        return replica.proven_id is not None and replica.proven_id == replica.desired_id and replica.step is None

    wait_until(current, seconds=60)
    answers: list[httpx.Response] = []
    running = generation(server, "bot@v1", 80, answers)
    wait_until(lambda: server.is_running("bot@v1"))
    serving.publish()
    wait_until(lambda: serving.replicas(target)[0].step is SwapStep.drain, seconds=60)
    control.kill()
    control.wait()
    assert server.registered["bot@production"].lora_path == str(serving.path(2))
    assert "bot@v1" in server.registered
    deployment.start("service.control")
    wait_until(current, seconds=60)
    running.join()
    assert answers[0].status_code == 200, "what ran was not cut off"
    assert server.registered.keys() == {"bot@v2", "bot@production"}
    assert server.engine.copies_of(serving.published[0]) == 0
    with deployment.store.read() as unit:
        (replica,) = serving.replicas(target)
        swapped = [e.data["version"] for e in unit.feed.events(0, limit=1000) if e.type == "replica.swapped"]
        assert swapped == [1, 2]
        assert replica.held == [replica.proven_id]
    wait_until(lambda: not serving.path(1).exists())
