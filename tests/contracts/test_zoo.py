"""Hostile artefacts over HTTP: each is refused by its own name, and nothing of it is run, written or kept.

The readers themselves are tested in tests/service/store (archives/test_extract.py, test_safetensors_header.py,
test_adapter_config.py, test_adapter_check.py), and how a worker opens a base model in tests/workers/engine.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support import uploads
from tests.support.api import NDJSON, Api, assert_problem
from tests.support.house import people
from tests.support.zoo import ADAPTERS, DATASETS, PWNED, Specimen

URL = "/v1/adapters/bot/versions"
# The largest header is 16 MiB, of which there is a text and what was read of it.
PEAK_BYTES = 160 * 2**20

ALL_ADAPTERS = pytest.mark.parametrize("specimen", ADAPTERS, ids=lambda specimen: specimen.name)
ALL_DATASETS = pytest.mark.parametrize("specimen", DATASETS, ids=lambda specimen: specimen.name)


@pytest.fixture
def api(tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    api = Api(tmp_path / "home", sqlite_url)
    api.client.post("/v1/adapters", json={"name": "bot", "base_model": {"path": "/models/base"}})
    yield api
    api.store.close()


def send(api: Api, archive: bytes) -> httpx.Response:
    source = json.dumps({"type": "import", "dataset": api.upload(people(2))})
    return api.client.post(URL, data={"source": source}, files={"archive": ("upload", archive)})


def assert_nothing_left_but(api: Api, *names: str) -> None:
    assert {path.rpartition("/")[2] for path in api.stored_files()} == set(names)
    assert not list(Path(tempfile.gettempdir()).iterdir())
    assert not Path(PWNED).exists()


@ALL_ADAPTERS
def test_an_adapter(api: Api, specimen: Specimen) -> None:
    response = send(api, specimen.make())
    if specimen.code is None:
        assert response.status_code == 202, response.text
        assert_nothing_left_but(api, "adapter_config.json", "adapter_model.safetensors", ".manifest.json")
        assert_only_what_was_understood(api)
        return
    document = assert_problem(response, 422, specimen.code)
    assert str(document["field"]).startswith("/archive")
    assert document["fix"]
    assert_nothing_left_but(api)
    assert api.client.get(URL).json()["items"] == []


def assert_only_what_was_understood(api: Api) -> None:
    (path,) = (path for path in api.stored_files() if path.endswith("adapter_config.json"))
    kept = json.loads((api.settings.home / "blobs" / path).read_bytes())
    plain = {"base_model_name_or_path", "bias", "inference_mode", "lora_alpha", "lora_dropout", "peft_type", "r"}
    assert set(kept) == {*plain, "target_modules", "task_type"}


@ALL_DATASETS
def test_a_dataset(api: Api, specimen: Specimen) -> None:
    response = api.client.post("/v1/datasets", content=specimen.make(), headers=NDJSON)
    if specimen.code is None:
        assert response.status_code == 201, response.text
        return
    document = assert_problem(response, 422, specimen.code)
    assert document["line"] == 1
    assert api.client.get("/v1/datasets").json()["items"] == []


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What the interpreter's auditors were told while each adapter was taken in."""
    directory = tmp_path_factory.mktemp("zoo")
    names = {f"{number:03}": specimen.name for number, specimen in enumerate(ADAPTERS)}
    for name, specimen in zip(names, ADAPTERS, strict=True):
        (directory / name).write_bytes(specimen.make())
    keeper = [sys.executable, "-m", "tests.support.zoo_keeper", str(directory)]
    output = subprocess.run(keeper, check=True, capture_output=True, text=True, timeout=250).stdout
    return {names[one["name"]]: one for one in map(json.loads, output.splitlines())}


@pytest.mark.slow
@ALL_ADAPTERS
def test_nothing_happens_while_an_adapter_is_read(told: dict[str, dict[str, Any]], specimen: Specimen) -> None:
    seen = told[specimen.name]
    assert seen["code"] == specimen.code
    assert seen["events"] == []
    assert seen["peak"] < PEAK_BYTES


def test_a_good_adapter_is_taken(api: Api) -> None:
    assert send(api, uploads.archive(uploads.files())).status_code == 202
