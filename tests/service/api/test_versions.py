"""Versions: trained here, or imported from an archive that is checked before anything is kept."""

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from safetensors.numpy import save_file

from service.domain.probes import Expected, Probe, ProbePrompt
from service.domain.scopes import Scope
from service.flows.publish import publish_first_anchor
from service.flows.reconcile import reconcile
from service.store.tables import Run, Version
from tests.support import uploads
from tests.support.api import Api, assert_problem, removal
from tests.support.house import people

URL = "/v1/adapters/bot/versions"
RECIPE = {"lora": {"r": uploads.R, "alpha": 8, "target_modules": ["q_proj", "v_proj"]}}


@pytest.fixture
def dataset(api: Api) -> str:
    return api.upload(people(5))


@pytest.fixture(autouse=True)
def _line(api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    api.client.post("/v1/adapters", json={"name": "bot", "base_model": {"path": "/models/base"}})


def train(api: Api, dataset: str, **fields: Any) -> httpx.Response:
    return api.client.post(URL, json={"source": {"type": "train", "dataset": dataset, **fields}})


def send(
    api: Api,
    dataset: str,
    content: bytes | None = None,
    *,
    record: bytes | None = None,
    headers: dict[str, str] | None = None,
    **fields: Any,
) -> httpx.Response:
    source = {"type": "import", "dataset": dataset, **fields}
    parts = {"archive": ("adapter.tar.gz", uploads.archive(uploads.files()) if content is None else content)}
    if record is not None:
        parts["training_record"] = ("record.tar.gz", record)
    return api.client.post(URL, data={"source": json.dumps(source)}, files=parts, headers=headers)


def assert_nothing_kept(api: Api) -> None:
    """No version, no run, no blob, no temporary directory."""
    assert (api.count(Version), api.count(Run)) == (0, 0)
    assert api.stored_files() == set()
    assert not list(Path(tempfile.gettempdir()).iterdir())


class TestTrain:
    def test_a_version_in_preparation_and_the_run_that_makes_it(self, api: Api, dataset: str) -> None:
        held = api.upload([{**row, "id": f"held-{row['id']}"} for row in people(1)])
        response = train(api, dataset, holdout=held, recipe={"epochs": 2, "seed": 7})
        assert response.status_code == 202
        body = response.json()
        assert response.headers["location"] == f"{URL}/v1"
        assert response.headers["retry-after"]
        assert [body[key] for key in ("id", "state", "kind", "dataset", "holdout")] == [
            "bot@v1", "preparing", "train", dataset, held,
        ]  # fmt: skip
        assert (body["recipe"]["epochs"], body["recipe"]["seed"]) == (2, 7)
        assert [body[key] for key in ("digest", "files", "claim_level", "ready_at", "rejection")] == [None] * 5
        run = api.client.get(f"/v1/runs/{body['run']}").json()
        assert (run["kind"], run["state"], run["version"]) == ("train", "queued", "v1")
        assert api.client.get("/v1/adapters/bot").json()["state"] == "preparing"

    def test_once_published_it_is_ready_and_says_what_it_can_do(self, api: Api, dataset: str) -> None:
        claimed = api.claim(train(api, dataset).json()["run"])
        assert claimed is not None
        with api.store.write() as unit:
            publish_first_anchor(unit, api.vault, claimed, api.staged_anchor())
        version = api.client.get(f"{URL}/production").json()
        assert [version[key] for key in ("version", "state", "anchor", "aliases")] == [
            "v1",
            "ready",
            "v1",
            ["production"],
        ]
        assert version["digest"].startswith("sha256:")
        assert {c["name"]: c["supported"] for c in version["capabilities"]} == {"influence": True, "rebuild": True}
        assert version["measurements"]["after"]["retained"] == 0.1
        line = api.client.get("/v1/adapters/bot").json()
        assert (line["state"], line["head"], line["anchor"]) == ("ready", "v1", "v1")
        assert line["aliases"] == {"production": "v1"}
        assert line["capabilities"] == version["capabilities"]

    @pytest.mark.parametrize(
        ("fields", "field"),
        [
            ({"recipe": {"epochs": 0}}, "/source/recipe/epochs"),
            ({"recipe": {"learning_rate": 0}}, "/source/recipe/learning_rate"),
            ({"recipe": {"lora": {"r": 0}}}, "/source/recipe/lora/r"),
            ({"training_format": {"reduction": "median"}}, "/source/training_format/reduction"),
            ({"archive": "x"}, "/source/archive"),
        ],
    )
    def test_a_source_that_makes_no_sense(self, api: Api, dataset: str, fields: Any, field: str) -> None:
        assert_problem(train(api, dataset, **fields), 422, "invalid-input", field=field)
        assert_nothing_kept(api)

    def test_unknown_names(self, api: Api, dataset: str) -> None:
        assert_problem(train(api, "ds_0"), 404, "unknown-dataset", field="/source/dataset")
        assert_problem(train(api, dataset, holdout="ds_0"), 404, "unknown-dataset", field="/source/holdout")
        other = api.client.post("/v1/adapters/other/versions", json={"source": {"type": "train", "dataset": dataset}})
        assert_problem(other, 404, "unknown-adapter")

    def test_a_holdout_that_repeats_ids(self, api: Api, dataset: str) -> None:
        held = api.upload([{**people(1)[0], "completion": "Another text."}, {**people(1)[0], "id": "held"}])
        assert_problem(
            train(api, dataset, holdout=held), 422, "holdout-shares-ids", field="/source/holdout", instances=1
        )
        assert_problem(send(api, dataset, holdout=dataset), 422, "holdout-shares-ids", field="/source/holdout")
        assert_nothing_kept(api)

    def test_one_training_at_a_time(self, api: Api, dataset: str) -> None:
        first = train(api, dataset)
        assert_problem(train(api, dataset), 409, "line-busy", run=first.json()["run"])

    def test_what_was_erased_does_not_come_back(self, api: Api) -> None:
        line = api.line("other", people(10))
        api.client.post("/v1/unlearning-requests", json=removal("p1-0"))
        api.serve(line)
        again = api.upload(people(10))
        assert_problem(train(api, again), 409, "suppressed", field="/source/dataset", instances=1)


class TestImport:
    def test_the_archive_is_stored_and_a_run_takes_it_over(self, api: Api, dataset: str) -> None:
        response = send(api, dataset, recipe=RECIPE, expected_losses={"p1-0": 0.25})
        assert response.status_code == 202
        body = response.json()
        assert [body[key] for key in ("id", "state", "kind")] == ["bot@v1", "preparing", "import"]
        assert body["recipe"]["lora"]["r"] == uploads.R
        assert {path.rpartition("/")[2] for path in api.stored_files()} == {
            "adapter_config.json",
            "adapter_model.safetensors",
            ".manifest.json",
        }
        with api.store.read() as unit:
            version = unit.versions.by_number(unit.versions.of_line(self._line_id(api))[0].line_id, 1)
            assert version is not None
            assert version.source["expected_losses"] == {"p1-0": 0.25}
            assert api.blobs.exists_tree(version.source["archive"])
            assert version.source["record"] is None
        assert not list(Path(tempfile.gettempdir()).iterdir())

    @staticmethod
    def _line_id(api: Api) -> str:
        with api.store.read() as unit:
            line = unit.lines.by_name("bot")
            assert line is not None
            return line.id

    def test_with_a_training_record(self, api: Api, dataset: str) -> None:
        assert send(api, dataset, record=uploads.archive(uploads.record())).status_code == 202
        with api.store.read() as unit:
            (version,) = unit.versions.of_line(self._line_id(api))
            assert set(api.blobs.manifest(version.source["record"])) == {"record.json", "record.safetensors"}

    def test_the_upload_is_deleted_once_it_was_taken_over(self, api: Api, dataset: str) -> None:
        claimed = api.claim(send(api, dataset).json()["run"])
        assert claimed is not None
        with api.store.write() as unit:
            publish_first_anchor(unit, api.vault, claimed, api.staged_anchor())
        reconcile(api.store, api.blobs)
        assert not [path for path in api.stored_files() if path.startswith("uploads/")]

    def test_source_may_be_sent_as_a_file(self, api: Api, dataset: str) -> None:
        source = json.dumps({"type": "import", "dataset": dataset}).encode()
        parts = {"source": ("source.json", source), "archive": ("a.tar.gz", uploads.archive(uploads.files()))}
        assert api.client.post(URL, files=parts).status_code == 202

    def test_a_repeated_import_is_stored_once(self, api: Api, dataset: str) -> None:
        headers = {"Idempotency-Key": "k"}
        first = send(api, dataset, headers=headers)
        stored = api.stored_files()
        again = send(api, dataset, headers=headers)
        assert again.json() == first.json()
        assert api.stored_files() == stored


REFUSED = {
    "pickle-weights": lambda: uploads.archive({"adapter_config.json": b"{}", "adapter_model.bin": b"\x80\x04"}),
    "missing-config": lambda: uploads.archive({"adapter_model.safetensors": b""}),
    "missing-weights": lambda: uploads.archive({"adapter_config.json": b"{}"}),
    "path-traversal": lambda: uploads.archive({**uploads.files(), "../../evil": b""}),
    "link": lambda: uploads.archive(uploads.files(), links={"adapter_config.json": "/etc/passwd"}),
    "unknown-archive": lambda: b"not an archive",
    "rank-mismatch": lambda: uploads.archive(uploads.files(r=8)),
    "nan-weights": lambda: uploads.archive(
        uploads.files({name: tensor * np.nan for name, tensor in uploads.tensors().items()})
    ),
    "dora": lambda: uploads.archive(uploads.files(use_dora=True)),
    "modules-to-save": lambda: uploads.archive(uploads.files(modules_to_save=["lm_head"])),
    "wrong-base": lambda: uploads.archive(uploads.files(base_model_name_or_path="/models/another")),
    "weights-header": lambda: uploads.archive({**uploads.files(), "adapter_model.safetensors": b"\xff" * 64}),
}


class TestRefusedImports:
    @pytest.mark.parametrize("code", REFUSED)
    def test_nothing_remains(self, api: Api, dataset: str, code: str) -> None:
        document = assert_problem(send(api, dataset, REFUSED[code]()), 422, code)
        assert str(document["field"]).startswith("/archive")
        assert document["fix"]
        assert_nothing_kept(api)

    def test_a_bad_record_takes_the_good_adapter_with_it(self, api: Api, dataset: str) -> None:
        bad = uploads.archive({"record.json": b"{}"})
        assert_problem(send(api, dataset, record=bad), 422, "missing-record", field="/training_record")
        assert_nothing_kept(api)

    def test_a_pickled_record(self, api: Api, dataset: str) -> None:
        bad = uploads.archive({**uploads.record(), "optimizer.pt": b"\x80"})
        assert_problem(send(api, dataset, record=bad), 422, "pickle-weights", field="/training_record/entries/2")
        assert_nothing_kept(api)

    @pytest.mark.parametrize(
        "lora", [{"r": 8}, {"alpha": 16}, {"target_modules": ["q_proj"]}, {"target_modules": ["q_proj", "o_proj"]}]
    )
    def test_a_recipe_for_another_adapter(self, api: Api, dataset: str, lora: dict[str, Any]) -> None:
        recipe = {"lora": {**RECIPE["lora"], **lora}}
        document = assert_problem(send(api, dataset, recipe=recipe), 422, "recipe-mismatch")
        assert next(iter(lora)) in str(document["detail"])
        assert_nothing_kept(api)

    def test_a_base_of_another_shape(self, api: Api, dataset: str, tmp_path: Path) -> None:
        base = tmp_path / "base"
        base.mkdir()
        weights = {"model.layers.0.self_attn.q_proj.weight": np.zeros((32, 32), np.float32)}
        save_file(weights, base / "model.safetensors")
        api.client.post("/v1/adapters", json={"name": "wide", "base_model": {"path": str(base)}})
        source = json.dumps({"type": "import", "dataset": dataset})
        parts = {"archive": ("a.tar.gz", uploads.archive(uploads.files()))}
        response = api.client.post("/v1/adapters/wide/versions", data={"source": source}, files=parts)
        assert_problem(response, 422, "wrong-base")
        assert_nothing_kept(api)

    def test_without_the_archive(self, api: Api, dataset: str) -> None:
        body = {"source": {"type": "import", "dataset": dataset}}
        assert_problem(api.client.post(URL, json=body), 422, "archive-missing", field="archive")
        parts = {"source": (None, json.dumps(body["source"]))}
        assert_problem(api.client.post(URL, files=parts), 422, "part-missing", field="archive")

    def test_without_the_source(self, api: Api) -> None:
        response = api.client.post(URL, files={"archive": ("a.tar.gz", b"x")})
        assert_problem(response, 422, "part-missing", field="source")

    def test_a_source_that_is_no_json(self, api: Api) -> None:
        response = api.client.post(URL, data={"source": "{"}, files={"archive": ("a.tar.gz", b"x")})
        assert_problem(response, 400, "malformed-json")

    def test_a_source_that_is_wrong(self, api: Api, dataset: str) -> None:
        document = assert_problem(send(api, dataset, recipe={"epochs": "many"}), 422, "invalid-input")
        assert document["field"] == "/source/recipe/epochs"

    def test_training_takes_no_archive(self, api: Api, dataset: str) -> None:
        source = json.dumps({"type": "train", "dataset": dataset})
        parts = {"archive": ("a.tar.gz", uploads.archive(uploads.files()))}
        response = api.client.post(URL, data={"source": source}, files=parts)
        assert_problem(response, 422, "archive-not-wanted", field="archive")

    def test_a_line_that_is_busy(self, api: Api, dataset: str) -> None:
        train(api, dataset)
        assert_problem(send(api, dataset), 409, "line-busy")
        assert api.stored_files() == set()

    def test_unknown_names_are_refused_before_the_archive_is_looked_at(self, api: Api) -> None:
        assert_problem(send(api, "ds_0", b"not an archive"), 404, "unknown-dataset", field="/source/dataset")


@pytest.mark.parametrize(
    ("named", "line"),
    [
        ("base", "/models/base"),
        ("/home/me/base", "/models/base"),
        ("acme/Base", "/models/base"),
        ("acme/base", "acme/base"),
        ("/models/base/", "/models/base"),
        ("acme/llama", "/cache/models--acme--llama/snapshots/0a1b2c"),
    ],
)
def test_names_that_mean_the_same_base(api: Api, dataset: str, named: str, line: str) -> None:
    api.client.post("/v1/adapters", json={"name": "same", "base_model": {"path": line}})
    parts = {"archive": ("a.tar.gz", uploads.archive(uploads.files(base_model_name_or_path=named)))}
    source = json.dumps({"type": "import", "dataset": dataset})
    response = api.client.post("/v1/adapters/same/versions", data={"source": source}, files=parts)
    assert response.status_code == 202, response.text


def test_a_rejected_version_says_why(api: Api, dataset: str) -> None:
    from service.domain.engine import EngineFailure, FailureClass
    from service.flows.fail import fail

    claimed = api.claim(send(api, dataset).json()["run"])
    assert claimed is not None
    with api.store.write() as unit:
        fail(unit, claimed, EngineFailure(FailureClass.permanent, "dataset_mismatch", "The mean loss differs."))
    version = api.client.get(f"{URL}/v1").json()
    assert version["state"] == "rejected"
    assert version["rejection"] == {"code": "dataset_mismatch", "detail": "The mean loss differs."}
    assert_problem(api.client.get(f"{URL}/v1/archive"), 409, "version-not-ready")
    listed = api.client.get(URL).json()["items"]
    assert [item["version"] for item in listed] == ["v1"]


class TestProbe:
    PROBE = Probe(
        previous="bot@v1",
        prompts=(
            ProbePrompt(token_ids=(5, 9), expected=(Expected(token_id=1, version=-0.5, base=-2.0, previous=-0.75),)),
        ),
    )

    def publish(self, api: Api, run_id: str, probe: Probe | None) -> None:
        claimed = api.claim(run_id)
        assert claimed is not None
        staged = api.staged_anchor()
        staged = replace(staged, result=replace(staged.result, probe=probe))
        with api.store.write() as unit:
            publish_first_anchor(unit, api.vault, claimed, staged)

    def test_it_is_the_one_that_the_worker_made(self, api: Api, dataset: str) -> None:
        self.publish(api, train(api, dataset).json()["run"], self.PROBE)
        response = api.client_with(Scope.adapters_read).get(f"{URL}/production/probe")
        assert response.status_code == 200
        assert Probe.model_validate(response.json()) == self.PROBE
        version = api.client.get(f"{URL}/v1").json()
        assert response.headers["x-lethe-version"] == "bot@v1"
        assert response.headers["x-lethe-digest"] == version["digest"]
        assert "probe" not in version, "versions are listed without their large parts"

    def test_a_version_of_the_past_has_none(self, api: Api, dataset: str) -> None:
        self.publish(api, train(api, dataset).json()["run"], None)
        document = assert_problem(api.client.get(f"{URL}/v1/probe"), 404, "no-probe", field="version")
        assert document["fix"]

    def test_one_that_is_not_ready_has_none_yet(self, api: Api, dataset: str) -> None:
        train(api, dataset)
        assert_problem(api.client.get(f"{URL}/v1/probe"), 409, "version-not-ready")

    def test_that_of_a_withdrawn_one_is_gone(self, api: Api, dataset: str) -> None:
        for _ in range(2):
            self.publish(api, train(api, dataset).json()["run"], self.PROBE)
        assert api.client.post("/v1/adapters/bot/withdraw", json={"versions": ["v1"]}).status_code == 200
        assert_problem(api.client.get(f"{URL}/v1/probe"), 410, "version-withdrawn")
