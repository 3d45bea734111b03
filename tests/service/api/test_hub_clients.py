"""The Hub's own client against the facade, and what it does when it is told that something is gone.

A client keeps what it downloaded. Which refusals it believes, and which it answers from its cache, is measured here
with the real client: the facade has to give the one that it believes, and none takes an adapter out of service.
"""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI, Response
from huggingface_hub import HfApi, constants, hf_hub_download, snapshot_download
from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError

from service.domain.scopes import Scope
from service.flows.withdraw import withdraw_due
from tests.support.api import Api, removal
from tests.support.house import people
from tests.support.server import serving

pytestmark = pytest.mark.slow

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


@pytest.fixture(autouse=True)
def _online(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' environment keeps clients off the network; here they may speak to this machine."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)


class Client:
    """A machine with a cache and a key."""

    def __init__(self, url: str, token: str, cache: Path) -> None:
        self.endpoint, self.token, self.cache = f"{url}/hub", token, cache
        self.api = HfApi(endpoint=self.endpoint, token=token)

    def snapshot(self, repository: str, revision: str | None = None) -> Path:
        where = {"endpoint": self.endpoint, "token": self.token, "cache_dir": self.cache}
        return Path(snapshot_download(repository, revision=revision, **where))  # type: ignore[arg-type]

    def file(self, repository: str, name: str, revision: str | None = None) -> Path:
        where = {"endpoint": self.endpoint, "token": self.token, "cache_dir": self.cache}
        return Path(hf_hub_download(repository, name, revision=revision, **where))  # type: ignore[arg-type]


@pytest.fixture
def line(api: Api) -> str:
    return api.line("bot", people(10), grace_period_s=0)


@pytest.fixture
def client(api: Api, line: str, tmp_path: Path) -> Iterator[Client]:
    with serving(api.app) as url:
        yield Client(url, api.token_of(Scope.adapters_read), tmp_path / "cache")


def erase_something(api: Api, line: str) -> None:
    """v2 forgets something; v1 is withdrawn."""
    api.client.post("/v1/unlearning-requests", json=removal("p1-0"))
    api.serve(line)
    with api.store.write() as unit:
        assert withdraw_due(unit) == 1


def digests(directory: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in directory.iterdir() if path.is_file()}


def published(api: Api, version: str) -> dict[str, str]:
    files = api.client.get(f"/v1/adapters/bot/versions/{version}").json()["files"]
    return {name: entry["sha256"] for name, entry in files.items()}


class TestDownload:
    @pytest.mark.parametrize(
        ("repository", "revision"),
        [
            ("bot/v1", None),
            ("bot/v1", "v1"),
            ("bot/adapter", None),
            ("bot/adapter", "production"),
            ("bot/adapter", "v1"),
        ],
    )
    def test_a_snapshot_is_the_version(self, api: Api, client: Client, repository: str, revision: str | None) -> None:
        directory = client.snapshot(repository, revision)

        assert digests(directory) == published(api, "v1")
        digest = api.client.get("/v1/adapters/bot/versions/v1").json()["digest"]
        assert directory.name == digest[7:47]
        assert client.snapshot(repository, directory.name) == directory

    def test_a_file(self, api: Api, client: Client) -> None:
        for repository in ("bot/v1", "bot/adapter"):
            path = client.file(repository, WEIGHTS)
            assert hashlib.sha256(path.read_bytes()).hexdigest() == published(api, "v1")[WEIGHTS]
            assert client.file(repository, WEIGHTS) == path

    def test_a_folder_of_one_s_own_is_brought_up_to_date(self, api: Api, line: str, client: Client) -> None:
        where = {"endpoint": client.endpoint, "token": client.token, "local_dir": client.cache / "own"}
        snapshot_download("bot/adapter", **where)  # type: ignore[arg-type]
        erase_something(api, line)
        snapshot_download("bot/adapter", **where)  # type: ignore[arg-type]
        assert digests(client.cache / "own") == published(api, "v2")

    def test_an_alias_that_moves_between_two_calls_of_one_download_mixes_nothing(
        self, api: Api, line: str, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from huggingface_hub import file_download

        ask = file_download.get_hf_file_metadata

        def asked(*args: object, **kwargs: object) -> file_download.HfFileMetadata:
            metadata = ask(*args, **kwargs)  # type: ignore[arg-type]
            api.client.post("/v1/unlearning-requests", json=removal("p1-0"))
            api.serve(line)
            return metadata

        monkeypatch.setattr(file_download, "get_hf_file_metadata", asked)
        path = client.file("bot/adapter", WEIGHTS)

        assert hashlib.sha256(path.read_bytes()).hexdigest() == published(api, "v1")[WEIGHTS]
        assert api.client.get("/v1/adapters/bot").json()["aliases"]["production"] == "v2"


class TestQuestions:
    def test_what_is_there(self, api: Api, client: Client) -> None:
        info = client.api.model_info("bot/adapter")
        assert info.sha == client.api.model_info("bot/v1").sha
        assert info.private
        assert {file.rfilename for file in info.siblings or ()} == {CONFIG, WEIGHTS}
        assert client.api.list_repo_files("bot/v1") == [CONFIG, WEIGHTS]
        assert client.api.repo_exists("bot/v1")
        assert not client.api.repo_exists("bot/v9")
        assert client.api.revision_exists("bot/adapter", "production")
        assert not client.api.revision_exists("bot/adapter", "canary")
        assert client.api.file_exists("bot/adapter", CONFIG)
        assert not client.api.file_exists("bot/adapter", "config.json")

    def test_which_revisions_there_are(self, client: Client) -> None:
        found = client.api.list_repo_refs("bot/adapter")
        assert {ref.name for ref in found.branches} == {"main", "production"}
        assert [(ref.name, ref.target_commit) for ref in found.tags] == [("v1", client.api.model_info("bot/v1").sha)]

    def test_a_cache_is_checked_against_digests(self, client: Client) -> None:
        client.snapshot("bot/v1")
        checked = client.api.verify_repo_checksums("bot/v1", cache_dir=client.cache)
        assert (checked.checked_count, checked.mismatches, checked.missing_paths) == (2, [], [])

    def test_errors_are_the_client_s_own(self, api: Api, client: Client) -> None:
        with pytest.raises(EntryNotFoundError):
            client.file("bot/v1", "config.json")
        with pytest.raises(RevisionNotFoundError):
            client.snapshot("bot/adapter", "canary")
        stranger = Client(client.endpoint.removesuffix("/hub"), api.token_of(lines=["other"]), client.cache)
        for repository in ("bot/v1", "bot/adapter", "gpt2"):
            with pytest.raises(RepositoryNotFoundError):
                stranger.snapshot(repository)


Get = Callable[[Client, str], object]
ASKED: dict[str, Get] = {
    "snapshot, main": lambda client, commit: client.snapshot("bot/v1"),
    "snapshot, commit": lambda client, commit: client.snapshot("bot/v1", commit),
    "file, main": lambda client, commit: client.file("bot/v1", WEIGHTS),
    "file, commit": lambda client, commit: client.file("bot/v1", WEIGHTS, commit),
}
MATRIX = {
    (404, "RevisionNotFound"): ["error", "cached", "error", "cached"],
    (404, "EntryNotFound"): ["cached", "cached", "error", "cached"],
    (404, "RepoNotFound"): ["cached", "cached", "cached", "cached"],
    (404, None): ["cached", "cached", "cached", "cached"],
    (403, None): ["cached", "cached", "cached", "cached"],
    (410, None): ["cached", "cached", "cached", "cached"],
    (451, None): ["cached", "cached", "cached", "cached"],
    (503, None): ["cached", "cached", "cached", "cached"],
}


def outcomes(client: Client, commit: str) -> list[str]:
    """What a client that has the adapter in its cache does, call by call."""
    found = []
    for get in ASKED.values():
        try:
            get(client, commit)
        except (RevisionNotFoundError, EntryNotFoundError):
            found.append("error")
        else:
            found.append("cached")
    return found


def refusing(status: int, error_code: str | None) -> FastAPI:
    """A server that gives one answer to everything."""
    app = FastAPI(openapi_url=None)

    @app.api_route("/{path:path}", methods=["GET", "HEAD"])
    def refuse(path: str) -> Response:
        return Response(status_code=status, headers={} if error_code is None else {"X-Error-Code": error_code})

    return app


class TestWithdrawn:
    @pytest.mark.parametrize(("status", "error_code"), MATRIX)
    def test_what_a_client_makes_of_a_refusal(self, client: Client, status: int, error_code: str | None) -> None:
        commit = client.snapshot("bot/v1").name
        with serving(refusing(status, error_code)) as url:
            assert outcomes(Client(url, client.token, client.cache), commit) == MATRIX[status, error_code]

    def test_the_facade_gives_the_one_that_is_believed(self, api: Api, line: str, client: Client) -> None:
        commit = client.snapshot("bot/v1").name
        erase_something(api, line)

        assert outcomes(client, commit) == MATRIX[404, "RevisionNotFound"]

    def test_who_has_not_cached_it_does_not_get_it_by_any_name(
        self, api: Api, line: str, client: Client, tmp_path: Path
    ) -> None:
        commit = client.snapshot("bot/v1").name
        erase_something(api, line)
        client.cache = tmp_path / "another machine"

        for repository, revision in (
            ("bot/v1", None),
            ("bot/v1", commit),
            ("bot/adapter", "v1"),
            ("bot/adapter", commit),
        ):
            with pytest.raises(RevisionNotFoundError):
                client.snapshot(repository, revision)

    def test_who_follows_the_line_gets_the_next_version(self, api: Api, line: str, client: Client) -> None:
        before = client.snapshot("bot/adapter")
        erase_something(api, line)
        after = client.snapshot("bot/adapter")

        assert digests(before) == published(api, "v1"), "the old one stays in the client's cache"
        assert digests(after) == published(api, "v2")
