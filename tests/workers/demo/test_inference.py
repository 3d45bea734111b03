"""A running inference process takes over one version after the other, from the service's downloads alone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import SecretStr

from service.domain.adapters import LoraSpec
from service.domain.engine import Base, Published
from service.domain.probes import Probe
from service.evidence.tokens import new_token
from service.flows.staged import StoredTree
from service.flows.vault import open_vault
from service.settings import Settings
from service.store.blobs import Blobs
from service.store.database import Store
from tests.support.api_server import api_server
from tests.support.house import House, people, remove
from workers.demo.exam import Marks, Question, take
from workers.demo.peer import Peer, PeerFailed
from workers.engine.export import export_adapter
from workers.engine.loading import open_base
from workers.engine.probing import make_probe
from workers.engine.resident import Resident

pytestmark = pytest.mark.slow  # every test starts a process that imports transformers

LORA = LoraSpec(r=4, alpha=8, target_modules=("q_proj", "v_proj", "gate_proj", "up_proj", "down_proj"))
QUESTIONS = [Question(group="all", prompt=f"{n}:", completion="abc"[n]) for n in range(3)]


class RealAdapters(House):
    """A deployment whose versions are real, different adapters of a base model."""

    def __init__(self, store: Store, directory: Path, base: Path) -> None:
        super().__init__(store, open_vault(store, bytes(32)), Blobs((directory / "blobs").as_uri()), directory)
        self.base = base
        self.resident = Resident(open_base(Base(str(base), None, None), torch.device("cpu")), LORA)
        self.made: list[Path] = []

    def tree(self) -> StoredTree:
        source = self.directory / f"adapter-{len(self.made)}"
        generator = torch.Generator().manual_seed(len(self.made))
        self.resident.parameters.set(torch.randn(self.resident.parameters.size, generator=generator) / 4)
        export_adapter(self.resident, str(self.base), source)
        self.made.append(source)
        return StoredTree(source.name, self.blobs.put_tree(source, source.name))

    def probe(self, adapter: StoredTree) -> Probe:
        """Of the adapter that is in the resident, told from the one made before it."""
        directory = self.directory / adapter.prefix
        before = [Published("bot@v1", self.made[0])] if directory != self.made[0] else []
        return make_probe(self.resident, directory, before)

    def expected(self, adapter: Path) -> Marks:
        """What an exam must give with one of the adapters, computed apart."""
        self.resident.load_adapter(adapter)
        return take(self.resident.model, self.resident.tokenizer, QUESTIONS)


@pytest.fixture
def house(sqlite_url: str, tmp_path: Path, base: Path) -> Iterator[RealAdapters]:
    store = Store(sqlite_url)
    yield RealAdapters(store, tmp_path / "service", base)
    store.close()


@pytest.fixture
def inference(house: RealAdapters, tmp_path: Path, base: Path) -> Iterator[Peer]:
    key = new_token()
    with api_server(house, Settings(home=tmp_path, admin_key=SecretStr(key))) as url:
        known = {"LETHE_URL": url, "LETHE_API_KEY": key}
        arguments = (base, tmp_path / "downloads")
        with Peer("workers.demo.inference", *arguments, log=tmp_path / "log", environment=known) as peer:
            yield peer


def _exam(inference: Peer) -> Marks:
    answer: dict[str, Any] = inference.ask({"exam": [question.model_dump() for question in QUESTIONS]})
    return Marks.model_validate(answer)


def _losses(marks: Marks) -> list[float]:
    return [mark.loss for mark in marks.marks]


def test_each_version_is_served_as_it_was_published(house: RealAdapters, inference: Peer) -> None:
    line = house.line("bot", people(10))
    first = inference.ask({"serve": "bot@v1"})
    before = _exam(inference)
    house.submit(remove("p1-0"))
    house.serve(line)
    second = inference.ask({"serve": "bot@production"})
    after = _exam(inference)
    assert (first["version"], second["version"]) == ("bot@v1", "bot@v2")
    assert [(swap["proven"], swap["probe"]) for swap in (first, second)] == [(True, "proven")] * 2
    assert second["probe_distances"]["version"] < 1e-5
    assert min(second["probe_distances"][other] for other in ("base", "previous")) > 0.01
    published = {"v1": house.made[0], "v2": house.made[-1]}
    assert _losses(before) == pytest.approx(_losses(house.expected(published["v1"])), abs=1e-5)
    assert _losses(after) == pytest.approx(_losses(house.expected(published["v2"])), abs=1e-5)
    assert [mark.answer for mark in after.marks] == [m.answer for m in house.expected(published["v2"]).marks]


def test_without_the_service_there_is_no_adapter(house: RealAdapters, inference: Peer) -> None:
    with pytest.raises(PeerFailed, match="no such adapter line"):
        inference.ask({"serve": "bot@v1"})
