"""A supervisor with a real child, and what it keeps of an anchor that another worker replaced."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.domain.adapters import BaseModelRef, LoraSpec, Policy, Recipe, TrainingFormat
from service.domain.engine import EngineFailure, InfluenceJob, InfluenceResult
from service.domain.ledger import Edit
from service.domain.runs import RunKind
from service.flows.add_version import VersionSource, add_version
from service.flows.assemble import load_anchor
from service.flows.lines import create_line
from service.flows.vault import vault_of
from service.settings import Settings
from service.store.blobs import Blobs
from service.store.database import Store
from service.store.tables import Version
from tests.support.house import ACTOR, House, people, remove
from tests.workers.tiny_llama import save_tiny_llama
from workers.supervisor import Supervisor

pytestmark = pytest.mark.slow

RECIPE = Recipe(
    epochs=4, batch_size=8, learning_rate=5e-3, lora=LoraSpec(r=2, alpha=4, target_modules=("q_proj", "v_proj"))
)
POLICY = Policy(default_strategy="influence", influence_share=0.5, max_share=0.6, complete_at="I")


@pytest.fixture
def settings(tmp_path: Path, sqlite_url: str) -> Settings:
    return Settings(home=tmp_path / "home", database_url=sqlite_url, device="cpu")


@pytest.fixture
def house(settings: Settings, tmp_path: Path) -> Iterator[House]:
    store = Store(settings.database_url)
    yield House(store, vault_of(store, settings), Blobs(settings.blob_url), tmp_path / "trees")
    store.close()


@pytest.fixture
def supervisor(house: House, settings: Settings) -> Iterator[Supervisor]:
    supervisor = Supervisor(settings, house.store, house.vault, house.blobs, name="worker-1")
    yield supervisor
    supervisor.close()


def trained(house: House, supervisor: Supervisor, base: Path) -> str:
    """A line whose first version the supervisor trained."""
    source = VersionSource(RunKind.train, house.dataset(people(8)), None, RECIPE, TrainingFormat(max_length=64))
    with house.store.write() as unit:
        line = create_line(unit, "bot", BaseModelRef(path=str(base)), POLICY, actor=ACTOR).id
        run_id = str(add_version(unit, "bot", source, actor=ACTOR).run_id)
    supervisor.execute(run_id)
    return line


def files_with(text: bytes, directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file() and text in path.read_bytes()]


def test_of_an_anchor_that_is_none_any_more_neither_disk_nor_memory_keeps_anything(
    house: House, supervisor: Supervisor, settings: Settings, tmp_path: Path
) -> None:
    line = trained(house, supervisor, save_tiny_llama(tmp_path / "base"))
    house.submit(remove("p0-0"))
    run_id = house.queued_run(line)
    assert run_id is not None
    supervisor.execute(run_id)
    supervisor.forget()
    assert files_with(b"p0-0", settings.home / "cache"), "the training record, as the child reads it"
    assert not files_with(b"p0-0", settings.home / "blobs")
    assert in_memory(house, supervisor, line, tmp_path / "before")

    old = anchor_of(house, line)
    house.rebuild(house.begin_rebuild(line))
    supervisor.forget()
    assert house.blobs.exists_tree(str(old.artefacts_prefix)), "the reconciler has not come by yet"
    assert not files_with(b"p0-0", settings.home / "cache")
    assert not in_memory(house, supervisor, line, tmp_path / "after", version=old)


def anchor_of(house: House, line: str) -> Version:
    with house.store.read() as unit:
        return unit.versions.get(str(unit.lines.get(line).anchor_id))


def in_memory(house: House, supervisor: Supervisor, line: str, out: Path, version: Version | None = None) -> bool:
    """Whether the child can answer from an anchor without its files."""
    model = version or anchor_of(house, line)

    def files(prefix: str) -> Path:
        return supervisor._cache.materialise(prefix) if prefix == model.blob_prefix else Path("/gone")

    with house.store.read() as unit:
        anchor = load_anchor(unit, house.vault, unit.lines.get(line), model, files)
    result = supervisor._engine.run(
        InfluenceJob(anchor, (Edit("p1-0", None),), out),
        on_progress=lambda progress: None,
        watch=lambda: None,
        wants_yield=lambda: False,
        deadline_s=120,
    )
    if isinstance(result, EngineFailure):
        assert result.code == "preparation", result
    return isinstance(result, InfluenceResult)
