"""The main job from beginning to end: a deletion request in, a hot-swapped adapter out, then an exact one.

Everything goes through the service's HTTP API, as any client's calls would. The inference process and the
oracle are processes of their own.
"""

import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from safetensors.numpy import load_file

from service.cli.output import Output
from service.cli.session import Session
from service.cli.tables.requests import plan_table
from service.cli.waiting import wait_for_request, wait_for_run
from service.client import Lethe, unlearning
from service.client.answers.adapters import Version
from service.client.answers.requests import Request
from service.domain.adapters import BaseModelRef, Strategy
from service.domain.states import RunState, VersionState
from workers.demo.base_model import ensure_base_model
from workers.demo.cast import choose_cast
from workers.demo.embedded import EmbeddedStack
from workers.demo.evidence import save_evidence
from workers.demo.exam import Marks
from workers.demo.oracle import Retraining
from workers.demo.peer import Peer
from workers.demo.report import Report, Swap, Times, environment
from workers.demo.world import RECIPE, Person, instance_lines, make_world
from workers.engine.adapter_files import WEIGHTS

LINE = "support-bot"
# On so short a training the default leaves little to mend what stays with.
UPDATE_BUDGET = 0.12
# Where the inference process keeps what it downloads.
DOWNLOADS = "downloads"


class StoryFailed(Exception):
    """Something did not happen that the story needs in order to go on."""


class Story:
    """One telling, with everything it leaves below `directory`."""

    def __init__(self, directory: Path, console: Console) -> None:
        self._directory = directory
        self._console = console
        self._exams: dict[str, Marks] = {}
        self._swaps: list[Swap] = []
        self._seconds: dict[str, float] = {}
        self._stages: dict[str, dict[str, float]] = {}
        self._claims: dict[str, str] = {}

    def tell(self) -> Report:
        """Run it all. Raises StoryFailed, and LetheError if the service refuses a call."""
        self._directory.mkdir(parents=True, exist_ok=True)
        world = make_world()
        self._cast = choose_cast(world)
        self._base = ensure_base_model(world, self._directory).resolve()
        self._say("Starting the service: database, Redis, API, control loops and one worker")
        with EmbeddedStack(self._directory / "home", self._log("service")) as stack:
            output = Output(as_json=False)
            with Lethe(stack.url, stack.key) as client, self._inference(stack) as inference:
                self._session = Session(client, output)
                return self._tell(inference)

    def _tell(self, inference: Peer) -> Report:
        self._train_first()
        self._swap_in(inference, "v1")
        request = self._erase()
        self._swap_in(inference, "v2")
        retrained = self._retrain_apart()
        request = self._rebuild(request)
        self._swap_in(inference, "v3")
        save_evidence(self._session.client, request.id, self._directory)
        return Report(
            environment=environment(),
            request=request.model_dump(mode="json"),
            exams={name: self._exams[name] for name in ("v1", "v2", "retrained", "v3")},
            swaps=tuple(self._swaps),
            times=self._times(),
            claim_levels=dict(self._claims),
            rebuild_difference=_largest_difference(
                self._directory / DOWNLOADS / f"{LINE}-v3" / WEIGHTS, retrained / WEIGHTS
            ),
        )

    # The acts

    def _train_first(self) -> None:
        client, world = self._session.client, self._cast.world
        self._say(f"Uploading {len(instance_lines(world.trained))} facts and training {LINE}@v1")
        dataset, holdout = (
            client.create_dataset(self._jsonl(name, people)).id
            for name, people in (("trained", world.trained), ("holdout", world.holdout))
        )
        client.create_adapter(LINE, BaseModelRef(path=str(self._base)), policy={"update_budget": UPDATE_BUDGET})
        started = time.perf_counter()
        version = client.train(LINE, dataset, holdout=holdout, recipe=RECIPE)
        self._follow_run(str(version.run), "train", f"training {LINE}@v1")
        self._seconds["train"] = time.perf_counter() - started
        self._expect_ready("v1")

    def _erase(self) -> Request:
        client, forgotten = self._session.client, self._cast.forgotten
        body = unlearning(*self._cast.operations(), strategy=Strategy.influence, client_reference="demo-1")
        self._console.print(plan_table(client.create_plan(body)))
        self._say(f"Asking to forget {forgotten.subject}, and to correct two facts of other people")
        started = time.perf_counter()
        request = wait_for_request(self._session, client.create_request(body).id)
        self._seconds["erase"] = time.perf_counter() - started
        target = next(iter(request.targets))
        if target.version != "v2":
            raise StoryFailed(f"The request is {request.state} and did not lead to v2: {request.failure}")
        self._stages["erase"] = client.get_run(str(target.run)).seconds or {}
        self._claims["v2"] = str(target.claim_level)
        return request

    def _rebuild(self, request: Request) -> Request:
        self._say("Second phase: rebuilding without the erased data, as v3")
        started = time.perf_counter()
        run = self._session.client.create_rebuild(LINE)
        self._follow_run(run.id, "rebuild", f"rebuilding {LINE}")
        self._seconds["rebuild"] = time.perf_counter() - started
        self._expect_ready("v3")
        request = self._session.client.get_request(request.id)
        self._claims["v3"] = str(next(iter(request.targets)).claim_level)
        return request

    def _retrain_apart(self) -> Path:
        """The oracle's adapter directory; its exam is noted."""
        lines, slots = self._cast.retraining()
        out = self._directory / "retrained"
        shutil.rmtree(out, ignore_errors=True)
        task = Retraining(
            base=self._base,
            recipe=RECIPE,
            lines=lines,
            slots=slots,
            slot_count=len(instance_lines(self._cast.world.trained)),
            out=out,
            exam=self._cast.questions(),
        )
        self._say("For comparison, apart from the service: really retraining without the data")
        with Peer("workers.demo.oracle", log=self._log("oracle")) as oracle, self._bar() as bar:
            row = bar.add_task("retraining")

            def show(progress: Mapping[str, Any]) -> None:
                bar.update(row, completed=progress["done"], total=progress["total"])

            answer = oracle.ask(task.model_dump(mode="json"), meanwhile=show)
        self._seconds["retrain_apart"] = answer["seconds"]
        self._exams["retrained"] = Marks.model_validate(answer["exam"])
        return out

    def _swap_in(self, inference: Peer, version: str) -> None:
        swap = Swap.model_validate(inference.ask({"serve": f"{LINE}@{version}"}))
        self._swaps.append(swap)
        self._say(
            f"Inference process {inference.pid} serves {swap.version}: downloaded in {swap.download_s * 1000:.0f} ms, "
            f"{'swapped' if len(self._swaps) > 1 else 'loaded'} in {swap.swap_s * 1000:.0f} ms; by its answers to the "
            f"probe: {swap.probe}"
        )
        questions = [question.model_dump() for question in self._cast.questions()]
        self._exams[version] = Marks.model_validate(inference.ask({"exam": questions}))

    # Small parts

    def _follow_run(self, run_id: str, name: str, label: str) -> None:
        run = wait_for_run(self._session, run_id, label=label)
        if run.state != RunState.succeeded:
            raise StoryFailed(f"The run that was {label} is {run.state}: {run.failure}")
        self._stages[name] = run.seconds or {}

    def _expect_ready(self, number: str) -> Version:
        version = self._session.client.get_version(LINE, number)
        if version.state != VersionState.ready:
            raise StoryFailed(f"{LINE}@{number} is {version.state}: {version.rejection}")
        return version

    def _times(self) -> Times:
        stages = {f"{name}_stages": self._stages[name] for name in ("train", "erase", "rebuild")}
        return Times.model_validate({**self._seconds, **stages})

    def _inference(self, stack: EmbeddedStack) -> Peer:
        environment = {"LETHE_URL": stack.url, "LETHE_API_KEY": stack.key}
        downloads = self._directory / DOWNLOADS
        return Peer(
            "workers.demo.inference", self._base, downloads, log=self._log("inference"), environment=environment
        )

    def _jsonl(self, name: str, people: tuple[Person, ...]) -> Path:
        file = self._directory / f"{name}.jsonl"
        lines = [line.model_dump_json(exclude_none=True) for line in instance_lines(people)]
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return file

    def _log(self, name: str) -> Path:
        return self._directory / f"{name}.log"

    def _say(self, text: str) -> None:
        self._console.print(f"[bold]{text}[/]")

    def _bar(self) -> Progress:
        return Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )


def _largest_difference(one: Path, other: Path) -> float:
    """The largest difference of two adapters' weights; 0 if they are bit-equal."""
    first, second = load_file(one), load_file(other)
    if first.keys() != second.keys():
        raise StoryFailed("The rebuilt and the retrained adapter have different tensors.")
    return max(float(abs(first[name] - second[name]).max()) for name in first)
