"""What only a bucket can do: URLs that need no key, and adapters that LoRAX fetches by itself."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from service.domain.adapters import BaseModelRef, Policy, TrainingFormat
from service.domain.runs import RunKind
from service.domain.scopes import Scope
from service.flows.add_version import VersionSource, add_version
from service.flows.lines import create_line
from service.flows.new_version import reject
from service.flows.withdraw import withdraw_due
from tests.support.api import Api, assert_problem, removal
from tests.support.house import ACTOR, RECIPE, people
from tests.support.lorax import LoraxDouble, NotReady
from tests.support.s3 import use_s3

pytestmark = pytest.mark.slow

V1 = "/v1/adapters/bot/versions/v1"
WEIGHTS = f"{V1}/files/adapter_model.safetensors"


@pytest.fixture
def bucket() -> str:
    return uuid.uuid4().hex


@pytest.fixture
def api(
    sqlite_url: str, tmp_path: Path, s3_endpoint: str, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Api]:
    """The API over a bucket."""
    use_s3(monkeypatch, s3_endpoint, bucket)
    api = Api(tmp_path / "home", sqlite_url, blob_url=f"s3://{bucket}/prod")
    yield api
    api.store.close()


@pytest.fixture
def line(api: Api) -> str:
    return api.line("bot", people(10), grace_period_s=0)


@pytest.fixture
def on_disk(sqlite_url: str, tmp_path: Path) -> Iterator[Api]:
    api = Api(tmp_path / "home", sqlite_url)
    api.line("bot", people(10))
    yield api
    api.store.close()


def replace_v1(api: Api, line: str) -> None:
    """v2 forgets something, and v1, the anchor, is past its grace period."""
    api.client.post("/v1/unlearning-requests", json=removal("p1-0"))
    api.serve(line)
    with api.store.write() as unit:
        assert withdraw_due(unit) == 1


class TestPresigned:
    def test_the_bucket_sends_the_file_to_who_has_the_url(self, api: Api, line: str) -> None:
        response = api.client.get(WEIGHTS, params={"presigned": True}, follow_redirects=False)

        assert response.status_code == 307
        assert response.headers["cache-control"] == "private, no-store"
        assert response.headers["x-lethe-version"] == "bot@v1"
        assert httpx.get(response.headers["location"]).content == api.client.get(WEIGHTS).content

    def test_it_is_good_for_one_object_and_five_minutes(self, api: Api, line: str, bucket: str) -> None:
        response = api.client.get(WEIGHTS, params={"presigned": True}, follow_redirects=False)

        url = urlsplit(response.headers["location"])
        with api.store.read() as unit:
            assert url.path == f"/{bucket}/prod/{unit.versions.of_line(line)[0].blob_prefix}/adapter_model.safetensors"
        assert parse_qs(url.query)["X-Amz-Expires"] == ["300"]

    def test_head_is_answered_here_because_the_url_is_good_for_one_method(self, api: Api, line: str) -> None:
        response = api.client.head(WEIGHTS, params={"presigned": True})
        assert response.status_code == 200
        assert response.headers["etag"] == api.client.get(WEIGHTS).headers["etag"]

    def test_none_is_given_for_what_was_withdrawn(self, api: Api, line: str) -> None:
        replace_v1(api, line)
        assert_problem(api.client.get(WEIGHTS, params={"presigned": True}), 410, "version-withdrawn")

    def test_one_that_was_given_before_outlives_the_withdrawal_until_the_file_is_deleted(
        self, api: Api, line: str
    ) -> None:
        url = api.client.get(WEIGHTS, params={"presigned": True}, follow_redirects=False).headers["location"]
        replace_v1(api, line)
        assert httpx.get(url).status_code == 200
        with api.store.read() as unit:
            api.blobs.delete_tree(str(unit.versions.of_line(line)[0].blob_prefix))
        assert httpx.get(url).status_code == 404

    def test_a_directory_makes_none(self, on_disk: Api) -> None:
        assert_problem(on_disk.client.get(WEIGHTS, params={"presigned": True}), 409, "store-cannot-sign")

    def test_nor_for_a_file_that_is_not_there(self, api: Api, line: str) -> None:
        response = api.client.get(f"{V1}/files/other", params={"presigned": True})
        assert_problem(response, 404, "unknown-file")


class TestLorax:
    @pytest.fixture
    def lorax(self, api: Api, s3_endpoint: str, tmp_path: Path) -> LoraxDouble:
        return LoraxDouble(api.client, s3_endpoint, tmp_path / "lorax")

    def test_it_finds_and_loads_a_version(self, api: Api, line: str, lorax: LoraxDouble) -> None:
        directory = lorax.load("bot/1")

        for name in api.client.get(V1).json()["files"]:
            assert (directory / name).read_bytes() == api.client.get(f"{V1}/files/{name}").content

    def test_beside_the_adapter_it_takes_a_manifest_that_it_does_not_read(
        self, api: Api, line: str, lorax: LoraxDouble
    ) -> None:
        directory = lorax.load("bot/1")
        assert {path.name for path in directory.iterdir()} == {
            ".manifest.json",
            "adapter_config.json",
            "adapter_model.safetensors",
        }

    def test_a_folder_that_begins_alike_is_not_mixed_in(
        self, api: Api, line: str, lorax: LoraxDouble, tmp_path: Path
    ) -> None:
        with api.store.read() as unit:
            prefix = unit.versions.of_line(line)[0].blob_prefix
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "other.safetensors").write_bytes(b"other")
        api.blobs.put_tree(tmp_path / "other", f"{prefix}0")
        assert not (lorax.load("bot/1") / "0").exists()

    def test_while_it_is_prepared(self, api: Api, lorax: LoraxDouble) -> None:
        self.prepared(api)
        assert api.client.get("/v2/repos/new/version/1").json() == {"status": "pending", "adapterPath": None}
        with pytest.raises(NotReady, match="pending"):
            lorax.load("new/1")

    def test_if_it_never_will_be(self, api: Api, lorax: LoraxDouble) -> None:
        self.prepared(api)
        with api.store.write() as unit:
            found = unit.lines.by_name("new")
            assert found is not None
            reject(unit, found, unit.versions.of_line(found.id)[0], code="dataset-mismatch", detail="No.")
        assert api.client.get("/v2/repos/new/version/1").json() == {"status": "errored", "adapterPath": None}
        with pytest.raises(NotReady, match="not yet available"):
            lorax.load("new/1")

    def test_once_it_was_withdrawn(self, api: Api, line: str, lorax: LoraxDouble) -> None:
        replace_v1(api, line)
        assert_problem(api.client.get("/v2/repos/bot/version/1"), 410, "version-withdrawn")
        with pytest.raises(NotReady, match="404"):
            lorax.load("bot/1")
        assert lorax.load("bot/2").is_dir()

    def test_a_version_it_has_loaded_stays_loaded(self, api: Api, line: str, lorax: LoraxDouble) -> None:
        directory = lorax.load("bot/1")
        replace_v1(api, line)
        assert lorax.load("bot/1") == directory

    def test_a_directory_is_out_of_its_reach(self, on_disk: Api) -> None:
        assert_problem(on_disk.client.get("/v2/repos/bot/version/1"), 409, "store-not-on-s3")

    def test_a_key_of_another_line(self, api: Api, line: str) -> None:
        stranger = api.client_with(Scope.adapters_read, lines=["other"])
        assert_problem(stranger.get("/v2/repos/bot/version/1"), 404, "unknown-adapter")

    @pytest.mark.parametrize("number", ["9", "0", "v1", "01x"])
    def test_a_version_that_is_none(self, api: Api, line: str, number: str) -> None:
        assert api.client.get(f"/v2/repos/bot/version/{number}").status_code in (404, 422)

    @staticmethod
    def prepared(api: Api) -> None:
        dataset = api.dataset(people(3))
        with api.store.write() as unit:
            create_line(unit, "new", BaseModelRef(path="/base"), Policy(), actor=ACTOR)
            source = VersionSource(RunKind.train, dataset, None, RECIPE, TrainingFormat())
            add_version(unit, "new", source, actor=ACTOR)
