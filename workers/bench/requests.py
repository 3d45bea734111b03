"""Measure requests on the whole service: `python -m workers.bench.requests [--directory DIR]`.

Latency: 20 removals of single instances, one after the other, from accepted to published while the
model is resident. Order: ten removals one by one on one adapter line against one batch of the same ten
on a twin line, as the largest relative difference of the resulting weights.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from service.client import Lethe, remove, unlearning
from service.client.answers.requests import Request
from service.domain.adapters import BaseModelRef, Strategy
from service.domain.states import RequestState, VersionState
from workers.demo.base_model import ensure_base_model
from workers.demo.embedded import EmbeddedStack
from workers.demo.world import RECIPE, World, instance_lines, make_world
from workers.engine.adapter_files import WEIGHTS

LATENCY_REQUESTS = 20
BATCH = 10
POLL_S = 0.02


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", type=Path, default=Path(".lethe/bench"))
    directory: Path = parser.parse_args().directory
    directory.mkdir(parents=True, exist_ok=True)
    world = make_world()
    base = ensure_base_model(world, directory).resolve()
    stack = EmbeddedStack(directory / "home", directory / "service.log")
    with stack, Lethe(stack.url, stack.key) as client:
        _measure(client, world, base, directory)


def _measure(client: Lethe, world: World, base: Path, directory: Path) -> None:
    dataset, holdout = (_upload(client, directory / f"{name}.jsonl", world, name) for name in ("trained", "holdout"))
    for line in ("one-by-one", "batch"):
        started = time.perf_counter()
        client.create_adapter(line, BaseModelRef(path=str(base)), policy={"max_share": 1.0})
        client.train(line, dataset, holdout=holdout, recipe=RECIPE)
        _until_ready(client, line)
        _tell(f"{line}: trained in {time.perf_counter() - started:.1f} s")
    ids = [fact.id for person in world.trained for fact in person.facts][:: len(world.trained[0].facts)]
    latencies = [_remove(client, "one-by-one", [instance_id]) for instance_id in ids[:BATCH]]
    _remove(client, "batch", ids[:BATCH])
    _tell(f"largest relative difference of the weights: {_difference(client, directory):.2e}")
    latencies += [_remove(client, "one-by-one", [i]) for i in ids[BATCH:LATENCY_REQUESTS]]
    resident = sorted(latencies)
    p95 = resident[min(len(resident) - 1, round(0.95 * len(resident)))]
    _tell(
        f"accepted to published: p50 {statistics.median(resident):.2f} s, p95 {p95:.2f} s of {len(resident)} requests"
    )


def _upload(client: Lethe, file: Path, world: World, name: str) -> str:
    lines = instance_lines(world.trained if name == "trained" else world.holdout)
    file.write_text("\n".join(line.model_dump_json(exclude_none=True) for line in lines), encoding="utf-8")
    return client.create_dataset(file).id


def _until_ready(client: Lethe, line: str) -> None:
    state = client.wait_for_version(line, "v1").state
    if state != VersionState.ready:
        raise SystemExit(f"{line}@v1 is {state}")


def _remove(client: Lethe, line: str, instance_ids: Sequence[str]) -> float:
    """Seconds from the answer 202 until the request has succeeded."""
    request = client.create_request(unlearning(remove(*instance_ids), adapters=[line], strategy=Strategy.influence))
    accepted = time.perf_counter()
    while not _is_over(client.get_request(request.id)):
        time.sleep(POLL_S)
    return time.perf_counter() - accepted


def _is_over(request: Request) -> bool:
    if request.state in (RequestState.needs_attention, RequestState.failed):
        raise SystemExit(f"{request.id} is {request.state}: {request.failure}")
    return request.state in (RequestState.succeeded, RequestState.awaiting_rebuild)


def _difference(client: Lethe, directory: Path) -> float:
    one, other = (
        load_file(client.fetch(line, "production", directory / line).directory / WEIGHTS)
        for line in ("one-by-one", "batch")
    )
    scale = max(float(np.abs(weights).max()) for weights in one.values())
    return max(float(np.abs(one[name] - other[name]).max()) for name in one) / scale


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
