"""A directory holds one whole version, and nothing is sent twice."""

import asyncio
import hashlib
from pathlib import Path

import pytest

from service.client import AsyncLethe, Lethe
from service.client.fetching import Fetched
from service.domain.errors import Corrupted, Gone, NotFound
from tests.support.house import House, people, remove
from tests.support.live_service import Service
from tests.support.unreliable import Reply, Unreliable

pytestmark = pytest.mark.slow

FILES = ["adapter_config.json", "adapter_model.safetensors"]


@pytest.fixture
def line(house: House) -> str:
    return house.line("support-bot", people(10))


def _sizes(directory: Path) -> int:
    return sum(file.stat().st_size for file in directory.iterdir())


def _version(file: str, size: int, sha256: str) -> dict[str, object]:
    """The answer of a service about a version of one file."""
    return {
        "id": "bot@v1", "names": {"lorax": "bot/1"}, "adapter": "bot", "version": "v1", "state": "ready",
        "kind": "train", "dataset": "ds_1", "created_at": "2026-01-01T00:00:00Z",
        "files": {file: {"size": size, "sha256": sha256}},
    }  # fmt: skip


def test_a_version_arrives_whole_and_the_second_time_for_nothing(line: str, lethe: Lethe, tmp_path: Path) -> None:
    served = tmp_path / "served"
    first = lethe.fetch("support-bot", "v1", served)
    assert sorted(file.name for file in served.iterdir()) == FILES
    assert first.bytes_received == _sizes(served)
    assert lethe.fetch("support-bot", "production", served).bytes_received == 0


def test_the_same_without_blocking(line: str, service: Service, tmp_path: Path) -> None:
    async def fetch() -> Fetched:
        async with AsyncLethe(service.url, service.key) as lethe:
            return await lethe.fetch("support-bot", "production", tmp_path / "served")

    assert asyncio.run(fetch()).bytes_received == _sizes(tmp_path / "served")


def test_another_version_takes_the_place_of_the_old_one(house: House, line: str, lethe: Lethe, tmp_path: Path) -> None:
    served = tmp_path / "served"
    lethe.fetch("support-bot", "v1", served)
    (served / "left-over.txt").touch()
    old = (served / FILES[1]).read_bytes()
    house.submit(remove("p1-0"))
    house.serve(line)
    fetched = lethe.fetch("support-bot", "production", served)
    assert fetched.version == "v2"
    assert (served / FILES[1]).read_bytes() != old
    assert sorted(file.name for file in served.iterdir()) == FILES, "never a mixture"
    assert fetched.bytes_received == (served / FILES[1]).stat().st_size, "the unchanged config was not sent"


def test_what_was_cut_off_is_gone_on_with(line: str, lethe: Lethe, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    lethe.fetch("support-bot", "v1", whole)
    staging = tmp_path / ".served.v1.partial"
    staging.mkdir()
    (staging / FILES[1]).write_bytes((whole / FILES[1]).read_bytes()[:5])
    fetched = lethe.fetch("support-bot", "v1", tmp_path / "served")
    assert fetched.bytes_received == _sizes(whole) - 5
    assert (tmp_path / "served" / FILES[1]).read_bytes() == (whole / FILES[1]).read_bytes()


def test_damaged_bytes_are_not_put_in_place(line: str, lethe: Lethe, tmp_path: Path) -> None:
    staging = tmp_path / ".served.v1.partial"
    staging.mkdir()
    (staging / FILES[1]).write_bytes(b"wrong")
    with pytest.raises(Corrupted) as refused:
        lethe.fetch("support-bot", "v1", tmp_path / "served")
    assert refused.value.code == "digest-mismatch"
    assert not (tmp_path / "served").exists()
    lethe.fetch("support-bot", "v1", tmp_path / "served")


def test_a_withdrawn_version_leaves_what_is_there_alone(house: House, line: str, lethe: Lethe, tmp_path: Path) -> None:
    house.submit(remove("p1-0"))
    house.serve(line)
    lethe.withdraw_versions("support-bot", ["v1"])
    with pytest.raises(Gone):
        lethe.fetch("support-bot", "v1", tmp_path / "served")
    assert not (tmp_path / "served").exists()


def test_a_connection_that_breaks_in_the_middle_costs_only_the_rest(
    server: Unreliable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.client.downloads.PAUSE_S", 0.01)
    weights = b"0123456789"
    digest = hashlib.sha256(weights).hexdigest()
    server.replies = [
        Reply(200, _version("weights", len(weights), digest)),
        Reply(200, weights[:4], {"Content-Length": "10"}),
        Reply(206, weights[4:], {"Content-Range": "bytes 4-9/10"}),
    ]
    with Lethe(server.url) as lethe:
        fetched = lethe.fetch("bot", "v1", tmp_path / "served")
    assert (tmp_path / "served" / "weights").read_bytes() == weights
    assert fetched.bytes_received == 6
    assert (server.seen[2]["Range"], server.seen[2]["If-Range"]) == ("bytes=4-", f'"sha256:{digest}"')


def test_a_file_outside_of_the_directory_is_not_written(server: Unreliable, tmp_path: Path) -> None:
    server.replies = [Reply(200, _version("../weights", 1, "00"))]
    with Lethe(server.url) as lethe, pytest.raises(Corrupted):
        lethe.fetch("bot", "v1", tmp_path / "served")


class TestSingleDownloads:
    @pytest.mark.parametrize("format_", ["tar.gz", "tar", "zip"])
    def test_an_archive_is_checked_against_the_files(
        self, line: str, lethe: Lethe, tmp_path: Path, format_: str
    ) -> None:
        target = lethe.download_archive("support-bot", "production", tmp_path / "bot", format=format_)
        assert target.stat().st_size > 0
        assert [file.name for file in tmp_path.glob(".bot*")] == []

    def test_a_file(self, line: str, lethe: Lethe, tmp_path: Path) -> None:
        assert lethe.download_file("support-bot", "v1", FILES[0], tmp_path / "config.json").read_text() == "{}"
        with pytest.raises(NotFound):
            lethe.download_file("support-bot", "v1", "README.md", tmp_path / "readme")

    def test_what_was_damaged_on_the_way_replaces_nothing(
        self, house: House, line: str, lethe: Lethe, tmp_path: Path
    ) -> None:
        target = tmp_path / "weights"
        target.write_text("the old ones")
        for stored in (tmp_path / "blobs").rglob(FILES[1]):
            stored.write_bytes(bytes(reversed(stored.read_bytes())))
        for download in (
            lambda: lethe.download_file("support-bot", "v1", FILES[1], target),
            lambda: lethe.download_archive("support-bot", "v1", target),
        ):
            with pytest.raises(Corrupted):
                download()
        assert target.read_text() == "the old ones"
