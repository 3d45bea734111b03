"""The benchmark on a registered line: a real deployment in little, trained by the real engine, and only read."""

import random
import signal
import string
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from service.domain.adapters import BaseModelRef, LoraSpec, Policy, Recipe, TrainingFormat
from service.domain.engine import AnchorResult, FoldResult, ImportJob, OutOfFoldJob, TrainJob
from service.domain.errors import LetheError
from service.domain.runs import RunKind
from service.flows.add_version import VersionSource, add_version
from service.flows.assemble import assemble, load_anchor
from service.flows.lines import create_line
from service.flows.lookup import find_line
from service.flows.publish import publish_first_anchor
from service.flows.staged import StagedAnchor, StoredTree
from service.flows.trees import keep_key, keys, seal_tree
from service.flows.vault import vault_of
from service.settings import Settings
from service.store.blobs import Blobs
from service.store.database import Store
from service.store.local_cache import LocalCache
from service.store.migrate import upgrade
from tests.support.house import ACTOR, House, people, remove_subject
from tests.workers.engine.small_data import ignore_progress, never
from tests.workers.tiny_llama import save_tiny_llama
from workers.bench.__main__ import main
from workers.bench.ledgers import Share, Task
from workers.bench.methods import METHODS
from workers.bench.plan import Plan, Question
from workers.bench.registered import REGIME, open_registered
from workers.bench.results import Report
from workers.bench.run import Bench
from workers.engine.engine import Engine
from workers.engine.out_of_fold import missing_folds
from workers.engine.training import fingerprint

pytestmark = pytest.mark.slow

RECIPE = Recipe(
    epochs=4, batch_size=8, learning_rate=1e-2, lora=LoraSpec(r=2, alpha=4, target_modules=("q_proj", "v_proj"))
)
Rows = list[dict[str, object]]


def rows(count: int, seed: int, prefix: str) -> Rows:
    """Made-up words, so that finding one in a file means that the text was written there."""
    rng = random.Random(seed)

    def word() -> str:
        return "".join(rng.choices(string.ascii_lowercase, k=12))

    return [
        {"id": f"{prefix}-{index}", "subject": f"{prefix} person {index // 3}", "prompt": word(), "completion": word()}
        for index in range(count)
    ]


TRAINED, HOLDOUT = rows(24, 1, "trained"), rows(8, 2, "new")
TEXTS = [str(row[name]).encode() for row in (*TRAINED, *HOLDOUT) for name in ("prompt", "completion")]


def texts_below(*directories: Path) -> set[Path]:
    """The files that hold an instance's text."""
    files = [file for directory in directories for file in directory.rglob("*") if file.is_file()]
    return {file for file in files if any(text in file.read_bytes() for text in TEXTS)}


class Deployment(House):
    """A house at a home of its own, whose worker is an engine in this process."""

    def __init__(self, home: Path, base: Path) -> None:
        self.settings, self.base = Settings(home=home, device="cpu"), base
        upgrade(self.settings.database_url)
        store = Store(self.settings.database_url)
        super().__init__(store, vault_of(store, self.settings), Blobs(self.settings.blob_url), home / "trees")

    def work(self, name: str, source: VersionSource) -> None:
        """Create a line and have its first anchor made."""
        with self.store.write() as unit:
            create_line(unit, name, BaseModelRef(path=str(self.base)), Policy(), actor=ACTOR)
            run_id = str(add_version(unit, name, source, actor=ACTOR).run_id)
        claimed = self.claim(run_id)
        assert claimed is not None
        out, cache = self.directory / name, self.cache()
        out.mkdir(parents=True)
        with self.store.read() as unit:
            job = assemble(unit, self.vault, claimed, materialise=cache.materialise, out=out)
        assert isinstance(job, TrainJob | ImportJob)
        result = Engine(device="cpu").run(job, progress=ignore_progress, should_yield=never)
        assert isinstance(result, AnchorResult)
        staged = StagedAnchor(
            result,
            self.stored(out / "adapter", f"runs/{name}/adapter"),
            seal_tree(self.vault, self.blobs, out / "anchor", f"runs/{name}/anchor"),
        )
        with self.store.write() as unit:
            publish_first_anchor(unit, self.vault, claimed, staged)

    def train_fold(self, name: str) -> None:
        """What an idle worker adds to an anchor."""
        out, cache = self.directory / f"{name}-fold", self.cache()
        with self.store.write() as unit:
            line = find_line(unit, name)
            version = unit.versions.get(str(line.anchor_id))
            anchor = load_anchor(unit, self.vault, line, version, cache.materialise)
            job = OutOfFoldJob(anchor.data, RECIPE, anchor.out_of_fold, out)
            result = Engine(device="cpu").run(job, progress=ignore_progress, should_yield=never)
            assert isinstance(result, FoldResult)
            tree = seal_tree(self.vault, self.blobs, out / "fold", f"runs/{name}/fold")
            keep_key(unit, line, tree)
            version.out_of_fold = [{"prefix": tree.prefix, "files": dict(tree.files), "remaining": result.remaining}]

    def cache(self) -> LocalCache:
        return LocalCache(self.settings.home / "cache", self.blobs, keys(self.store, self.vault))

    def stored(self, directory: Path, prefix: str) -> StoredTree:
        return StoredTree(prefix, self.blobs.put_tree(directory, prefix))


@pytest.fixture(autouse=True)
def _same_signals() -> Iterator[None]:
    """The command sets one up for its process, which is this one."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """With a line `trained` here, and `imported`: the same adapter without its record."""
    house = Deployment(tmp_path_factory.mktemp("home"), save_tiny_llama(tmp_path_factory.mktemp("llama")))
    with closing(house.store):
        data, holdout, fmt = house.dataset(TRAINED), house.dataset(HOLDOUT), TrainingFormat(max_length=64)
        house.work("trained", VersionSource(RunKind.train, data, holdout, RECIPE, fmt))
        archive = "runs/trained/adapter"
        house.work("imported", VersionSource(RunKind.import_, data, holdout, RECIPE, fmt, archive=archive))
        yield house


def ask(deployment: Deployment, name: str, work: Path, task: Task, *methods: str) -> Report:
    """One question, and at every step a look for texts in what was written so far."""
    setting, line = open_registered(deployment.settings, name, work)
    written: set[Path] = set()
    plan = Plan((Question(task, Share.subject, REGIME, 0),), (0,))
    chosen = {name: METHODS[name] for name in methods}
    cache = work / "cache"
    bench = Bench(setting, plan, chosen, cache, lambda doing: written.update(texts_below(work)), line=line)
    report = bench.run()
    assert {file.name for file in cache.rglob("*") if file.is_file()} == {"weights.safetensors"}
    assert not written
    assert not any(text.decode() in report.model_dump_json() for text in TEXTS)
    return report


def state(home: Path) -> dict[Path, bytes]:
    """Every file of the deployment; SQLite's index of its log changes with every reader."""
    return {file: file.read_bytes() for file in home.rglob("*") if file.is_file() and file.suffix != ".db-shm"}


@pytest.mark.slow
class TestRegistered:
    def test_its_own_anchor_is_measured_and_the_deployment_stays_as_it_is(
        self, deployment: Deployment, tmp_path: Path
    ) -> None:
        before = state(deployment.settings.home)
        report = ask(deployment, "trained", tmp_path, Task.removal, "nothing", "lethe", "replay-3")
        assert state(deployment.settings.home) == before
        assert not report.failures
        assert {result.method for result in report.results} == {"nothing", "lethe", "replay-3"}
        assert {(result.world, result.regime) for result in report.results} == {("trained@v1", REGIME)}
        nothing = next(result for result in report.results if result.method == "nothing")
        assert nothing.forget_loss < nothing.oracle_forget_loss

    def test_an_import_without_a_record_fails_where_one_is_needed_and_the_rest_goes_on(
        self, deployment: Deployment, tmp_path: Path
    ) -> None:
        report = ask(deployment, "imported", tmp_path, Task.correction, "lethe", "replay-1", "ekfac", "lethe-imported")
        assert {result.method for result in report.results} == {"ekfac", "lethe-imported"}
        assert {failure.method for failure in report.failures} == {"lethe", "replay-1"}
        assert all("training record" in failure.reason for failure in report.failures)

    def test_folds_of_idle_workers_are_not_trained_again(self, deployment: Deployment, tmp_path: Path) -> None:
        deployment.train_fold("imported")
        _, line = open_registered(deployment.settings, "imported", tmp_path)
        mark = fingerprint(line.resident, line.data, line.recipe, line.tokens)
        missing = missing_folds(line.data, [line.place / "out_of_fold"], mark)
        assert len(missing) == len(missing_folds(line.data, [], mark)) - 1

    def test_the_command_leaves_figures_and_nothing_else(
        self,
        deployment: Deployment,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        temporary, out = tmp_path / "tmp", tmp_path / "out"
        temporary.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(temporary))
        monkeypatch.setenv("LETHE_HOME", str(deployment.settings.home))
        arguments = ["--adapter", "trained", "--quick", "--methods", "nothing", "--out", str(out)]
        monkeypatch.setattr(sys, "argv", ["lethe bench", *arguments])
        monkeypatch.chdir(tmp_path)
        assert main() == 0
        assert {file.name for file in tmp_path.iterdir()} == {"tmp", "out"}
        assert list(temporary.iterdir()) == []
        assert {file.name for file in out.iterdir()} == {"bench.json", "bench.md", "bench.png", "bench.svg"}
        assert {result.share for result in Report.load(out / "bench.json").results} == {"one subject", "10 %"}
        assert texts_below(out) == set()
        assert not any(text.decode() in printed for printed in capfd.readouterr() for text in TEXTS)


class TestRefusals:
    @pytest.fixture
    def house(self, tmp_path: Path) -> Iterator[Deployment]:
        house = Deployment(tmp_path / "home", Path("/base"))
        with closing(house.store):
            yield house

    @staticmethod
    def refusal(house: Deployment, name: str, tmp_path: Path) -> str:
        with pytest.raises(LetheError) as refused:
            open_registered(house.settings, name, tmp_path / "work")
        return refused.value.detail

    def test_an_unknown_line(self, house: Deployment, tmp_path: Path) -> None:
        assert "no such adapter line" in self.refusal(house, "unknown", tmp_path)

    def test_a_line_whose_first_version_is_not_ready(self, house: Deployment, tmp_path: Path) -> None:
        with house.store.write() as unit:
            create_line(unit, "empty", BaseModelRef(path="/base"), Policy(), actor=ACTOR)
        assert "no anchor" in self.refusal(house, "empty", tmp_path)

    def test_a_line_without_a_recipe(self, house: Deployment, tmp_path: Path) -> None:
        house.line("imported", people(12), recipe=None)
        assert "no recipe" in self.refusal(house, "imported", tmp_path)

    def test_a_line_without_a_holdout(self, house: Deployment, tmp_path: Path) -> None:
        house.line("bare", people(12), holdout=False)
        assert "no holdout" in self.refusal(house, "bare", tmp_path)

    def test_a_line_that_was_packed(self, house: Deployment, tmp_path: Path) -> None:
        line_id = house.line("packed", people(12))
        with house.store.write() as unit:
            version = unit.versions.get(str(unit.lines.get(line_id).anchor_id))
            version.capabilities = [{"name": "influence", "supported": False, "reason": "Training packed instances."}]
        assert "Training packed instances." in self.refusal(house, "packed", tmp_path)

    def test_a_line_with_few_instances(self, house: Deployment, tmp_path: Path) -> None:
        house.line("small", people(3))
        assert "6 instances" in self.refusal(house, "small", tmp_path)

    def test_a_line_whose_anchor_still_holds_what_was_removed(self, house: Deployment, tmp_path: Path) -> None:
        line_id = house.line("answered", people(12))
        house.submit(remove_subject("Person 1"))
        assert "requests have changed" in self.refusal(house, "answered", tmp_path)
        house.serve(line_id)
        assert "requests have changed" in self.refusal(house, "answered", tmp_path)

    def test_a_home_without_a_deployment_stays_empty(self, tmp_path: Path) -> None:
        with pytest.raises(LetheError, match="no deployment"):
            open_registered(Settings(home=tmp_path / "nowhere"), "trained", tmp_path / "work")
        assert list(tmp_path.iterdir()) == []

    def test_the_command_says_why_and_ends_as_other_refusals_do(
        self, house: Deployment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        house.line("imported", people(12), recipe=None)
        monkeypatch.setenv("LETHE_HOME", str(house.settings.home))
        monkeypatch.setattr(sys, "argv", ["lethe bench", "--adapter", "imported", "--out", str(tmp_path / "out")])
        assert main() == 2
        assert "no recipe" in capfd.readouterr().err
        assert not (tmp_path / "out").exists()
