"""The Hub facade over HTTP: what its clients read in headers, and who is told that nothing is there."""

import hashlib

import httpx
import pytest

from service.domain.scopes import Scope
from service.flows.withdraw import withdraw_due
from tests.support.api import Api, assert_problem, removal
from tests.support.house import people

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
ONE, LINE = "/hub/bot/v1/resolve", "/hub/bot/adapter/resolve"
EVERY_CALL = [
    "/hub/api/models/bot/v1",
    "/hub/api/models/bot/v1/revision/main",
    "/hub/api/models/bot/v1/tree/main",
    f"{ONE}/main/{WEIGHTS}",
    f"{LINE}/v1/{CONFIG}",
]


@pytest.fixture
def commit(ready: Api) -> str:
    return str(ready.client.get("/v1/adapters/bot/versions/v1").json()["digest"])[7:47]


def refused(response: httpx.Response, error_code: str, code: str) -> None:
    assert_problem(response, 404, code)
    assert response.headers["x-error-code"] == error_code
    assert response.headers["x-error-message"]


class TestResolve:
    @pytest.mark.parametrize("file", [CONFIG, WEIGHTS])
    def test_headers_say_which_commit_and_content_it_is(self, ready: Api, commit: str, file: str) -> None:
        for method in ("GET", "HEAD"):
            response = ready.client.request(method, f"{ONE}/main/{file}")
            digest = ready.client.get("/v1/adapters/bot/versions/v1").json()["files"][file]
            assert response.headers["x-repo-commit"] == commit
            assert response.headers["etag"] == response.headers["x-linked-etag"] == f'"{digest["sha256"]}"'
            assert int(response.headers["x-linked-size"]) == int(response.headers["content-length"]) == digest["size"]
            assert response.headers["x-lethe-version"] == "bot@v1"
            assert response.headers["cache-control"] == "private, no-cache"
        assert hashlib.sha256(ready.client.get(f"{ONE}/main/{file}").content).hexdigest() == digest["sha256"]

    def test_a_broken_off_download_is_resumed(self, ready: Api) -> None:
        whole = ready.client.get(f"{ONE}/main/{WEIGHTS}").content
        response = ready.client.get(f"{ONE}/main/{WEIGHTS}", headers={"Range": "bytes=5-"})
        assert (response.status_code, response.content) == (206, whole[5:])

    def test_an_alias_leads_to_the_commit_it_means_now(self, ready: Api, commit: str) -> None:
        for revision in ("main", "production"):
            for method in ("GET", "HEAD"):
                response = ready.client.request(method, f"{LINE}/{revision}/{WEIGHTS}", follow_redirects=False)
                assert response.status_code == 307
                assert response.headers["location"] == f"{LINE}/{commit}/{WEIGHTS}"
                assert response.headers["x-repo-commit"] == commit
        assert ready.client.get(f"{LINE}/main/{WEIGHTS}").content == ready.client.get(f"{ONE}/main/{WEIGHTS}").content

    def test_a_version_and_a_commit_lead_nowhere_else(self, ready: Api, commit: str) -> None:
        for revision in ("v1", commit):
            assert ready.client.get(f"{LINE}/{revision}/{WEIGHTS}", follow_redirects=False).status_code == 200


class TestRefusals:
    @pytest.mark.parametrize("call", EVERY_CALL)
    def test_a_key_of_another_line_finds_no_repository(self, ready: Api, call: str) -> None:
        stranger = ready.client_with(Scope.adapters_read, lines=["other"])
        refused(stranger.get(call), "RepoNotFound", "unknown-adapter")
        assert stranger.get(call).text == ready.client.get(call.replace("/bot/", "/nobody/")).text

    @pytest.mark.parametrize("call", EVERY_CALL)
    def test_a_key_without_the_scope(self, ready: Api, call: str) -> None:
        assert_problem(ready.client_with(Scope.events_read).get(call), 403, "missing-scope")
        assert_problem(ready.client_of(None).get(call), 401, "unauthenticated")

    @pytest.mark.parametrize(
        "path",
        [
            "/hub/api/models/bot/v2",
            "/hub/api/models/bot/other/revision/main",
            "/hub/bot/v2/resolve/main/config.json",
        ],
    )
    def test_a_repository_that_is_none(self, ready: Api, path: str) -> None:
        refused(ready.client.get(path), "RepoNotFound", "unknown-repository")

    @pytest.mark.parametrize(
        "path",
        [
            "/hub/api/models/gpt2",
            "/hub/api/models/gpt2/revision/main",
            "/hub/gpt2/resolve/main/config.json",
            "/hub/api/datasets/squad/revision/main",
            "/hub/api/whoami-v2",
        ],
    )
    def test_a_base_model_is_not_to_be_had_here(self, ready: Api, path: str) -> None:
        refused(ready.client.get(path), "RepoNotFound", "unknown-repository")
        assert ready.client.head(path).headers["x-error-code"] == "RepoNotFound"
        assert "base model" in ready.client.get(path).headers["x-error-message"]

    @pytest.mark.parametrize("revision", ["v9", "canary", "0" * 40])
    def test_a_revision_that_is_none(self, ready: Api, revision: str) -> None:
        for path in (f"/hub/api/models/bot/adapter/revision/{revision}", f"{LINE}/{revision}/{CONFIG}"):
            response = ready.client.get(path)
            assert response.headers["x-error-code"] == "RevisionNotFound"
            assert response.status_code == 404

    @pytest.mark.parametrize("file", ["config.json", "sub/adapter_config.json"])
    def test_a_file_that_is_none(self, ready: Api, file: str) -> None:
        for revision in ("main", "v1"):
            refused(ready.client.get(f"{LINE}/{revision}/{file}"), "EntryNotFound", "unknown-file")

    def test_a_precondition_that_does_not_hold_stays_one(self, ready: Api) -> None:
        response = ready.client.get(f"{ONE}/main/{CONFIG}", headers={"If-Match": '"other"'})
        assert_problem(response, 412, "precondition-failed")


class TestWithdrawal:
    @pytest.fixture
    def withdrawn(self, api: Api) -> Api:
        """v1 past its grace period, v2 in production."""
        line = api.line("bot", people(10), grace_period_s=0)
        api.client.post("/v1/unlearning-requests", json=removal("p1-0"))
        api.serve(line)
        with api.store.write() as unit:
            assert withdraw_due(unit) == 1
        return api

    @pytest.mark.parametrize("call", EVERY_CALL)
    def test_it_is_a_revision_that_is_not_found(self, withdrawn: Api, call: str) -> None:
        refused(withdrawn.client.get(call), "RevisionNotFound", "version-withdrawn")

    def test_the_line_goes_on_with_its_next_version(self, withdrawn: Api) -> None:
        assert withdrawn.client.get(f"{LINE}/main/{WEIGHTS}").headers["x-lethe-version"] == "bot@v2"
        refs = withdrawn.client.get("/hub/api/models/bot/adapter/refs").json()
        assert [ref["name"] for ref in refs["tags"]] == ["v2"]

    def test_bytes_deleted_while_the_call_is_on_its_way(self, api: Api) -> None:
        line = api.line("bot", people(10))
        with api.store.read() as unit:
            version = unit.versions.of_line(line)[0]
        api.blobs.delete_tree(str(version.blob_prefix))
        refused(api.client.get(f"{ONE}/main/{WEIGHTS}"), "RevisionNotFound", "version-withdrawn")
