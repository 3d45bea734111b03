"""Real worker and control processes on a temporary home, driven through flows instead of HTTP."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from service.domain.adapters import BaseModelRef, LoraSpec, Policy, Recipe, TrainingFormat
from service.domain.runs import Lane, RunKind
from service.domain.states import RequestState, VersionState
from service.failpoints import VARIABLE
from service.flows.add_version import VersionSource, add_version
from service.flows.lines import create_line
from service.flows.vault import vault_of
from service.settings import Settings
from service.store.blobs import Blobs
from service.store.database import Store, Unit
from service.store.migrate import upgrade
from service.store.tables import Run
from tests.support.house import ACTOR, House

PATIENCE_S = 120.0
SMALL_RECIPE = Recipe(
    epochs=8, batch_size=8, learning_rate=5e-3, lora=LoraSpec(r=4, alpha=8, target_modules=("q_proj", "v_proj"))
)


class Deployment(House):
    """A house with processes. `kill` and `pause` hit them as the world does."""

    def __init__(self, home: Path, redis_url: str, **settings: object) -> None:
        self.settings = Settings.model_validate(
            {
                "home": home,
                "redis_url": redis_url,
                "lease_s": 8,
                "heartbeat_s": 1,
                "reconcile_s": 0.5,
                "device": "cpu",
                **settings,
            }
        )
        upgrade(self.settings.database_url)
        store = Store(self.settings.database_url)
        super().__init__(store, vault_of(store, self.settings), Blobs(self.settings.blob_url), home / "trees")
        self.processes: list[subprocess.Popen[bytes]] = []
        self._modules: dict[int, str] = {}

    def start(self, module: str, *, armed: str = "") -> subprocess.Popen[bytes]:
        """Start `python -m module` with the deployment's settings. `armed`: fail-points, see `service.failpoints`."""
        environment = {**os.environ, **self.settings.environment(), VARIABLE: armed}
        with (self.settings.home / f"{module}.log").open("ab") as log:
            process = subprocess.Popen([sys.executable, "-m", module], env=environment, stdout=log, stderr=log)
        self.processes.append(process)
        self._modules[process.pid] = module
        return process

    def revive(self) -> None:
        """Start again what has ended, as every restart policy does."""
        for process in [process for process in self.processes if process.poll() is not None]:
            self.processes.remove(process)
            self.start(self._modules[process.pid])

    def stop(self) -> None:
        """End every process, hard if need be."""
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
        for process in self.processes:
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.store.close()

    def trained_line(
        self, name: str, base: Path, rows: Sequence[dict[str, object]], recipe: Recipe = SMALL_RECIPE, **policy: object
    ) -> str:
        """A line whose v1 a worker has really trained.

        It has no holdout and is content with an inconclusive claim: what a tiny random base can forget is
        not the question here.
        """
        version = self.begin_line(name, base, rows, recipe, **policy)
        self.until(lambda unit: unit.versions.get(version).state is not VersionState.preparing)
        with self.store.read() as unit:
            ready = unit.versions.get(version)
            assert ready.state is VersionState.ready, ready.rejection
        return ready.line_id

    def begin_line(
        self, name: str, base: Path, rows: Sequence[dict[str, object]], recipe: Recipe = SMALL_RECIPE, **policy: object
    ) -> str:
        """A line whose first version is to be trained; returns the version's id."""
        dataset = self.dataset(rows)
        chosen = {"default_strategy": "influence", "influence_share": 0.5, "max_share": 0.6, "complete_at": "I"}
        settings = {**chosen, **policy}
        with self.store.write() as unit:
            reference, checked = BaseModelRef(path=str(base)), Policy.model_validate(settings)
            create_line(unit, name, reference, checked, actor=ACTOR)
        source = VersionSource(RunKind.train, dataset, None, recipe, TrainingFormat(max_length=128))
        with self.store.write() as unit:
            return add_version(unit, name, source, actor=ACTOR).id

    def until(self, condition: Callable[[Unit], object], *, patience_s: float = PATIENCE_S) -> None:
        """Wait until the database shows it."""
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            with self.store.read() as unit:
                if condition(unit):
                    return
            time.sleep(0.05)
        raise AssertionError(f"nothing happened in {patience_s} s; logs are in {self.settings.home}")

    def until_succeeded(self, request_id: str) -> None:
        self.until(lambda unit: _state(unit, request_id) in (RequestState.succeeded, RequestState.needs_attention))
        request = self.request(request_id)
        assert request.state is RequestState.succeeded, request.failure

    def until_running(self, line_id: str, lane: Lane = Lane.answer, stage: str | None = None) -> Run:
        """Wait until a worker holds a run of the lane (and has reached a stage)."""
        found: list[Run] = []

        def reached(unit: Unit) -> bool:
            run = unit.runs.running(line_id, lane)
            if run is not None and (stage is None or run.stage == stage):
                found.append(run)
            return bool(found)

        self.until(reached)
        return found[0]


def _state(unit: Unit, request_id: str) -> RequestState:
    request = unit.requests.get(request_id)
    assert request is not None
    return request.state
