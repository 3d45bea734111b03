"""A directory holds one whole version, and nothing is sent twice."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from service.cli.client import LetheClient
from service.cli.download import fetch
from service.cli.problems import Problem
from tests.service.cli.conftest import Command
from tests.support.house import House, people, remove

FILES = ["adapter_config.json", "adapter_model.safetensors"]


@pytest.fixture
def line(house: House) -> str:
    return house.line("support-bot", people(10))


def _sizes(directory: Path) -> int:
    return sum(file.stat().st_size for file in directory.iterdir())


def test_a_version_arrives_whole_and_the_second_time_for_nothing(
    line: str, client: LetheClient, tmp_path: Path
) -> None:
    served = tmp_path / "served"
    first = fetch(client, "support-bot", "v1", served)
    assert sorted(file.name for file in served.iterdir()) == FILES
    assert first.bytes_received == _sizes(served)
    assert fetch(client, "support-bot", "production", served).bytes_received == 0


def test_another_version_takes_the_place_of_the_old_one(
    house: House, line: str, client: LetheClient, tmp_path: Path
) -> None:
    served = tmp_path / "served"
    fetch(client, "support-bot", "v1", served)
    (served / "left-over.txt").touch()
    old = (served / FILES[1]).read_bytes()
    house.submit(remove("p1-0"))
    house.serve(line)
    fetched = fetch(client, "support-bot", "production", served)
    assert fetched.version == "v2"
    assert (served / FILES[1]).read_bytes() != old
    assert sorted(file.name for file in served.iterdir()) == FILES, "never a mixture"
    assert fetched.bytes_received == (served / FILES[1]).stat().st_size, "the unchanged config was not sent"


def test_what_was_cut_off_is_gone_on_with(line: str, client: LetheClient, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    fetch(client, "support-bot", "v1", whole)
    staging = tmp_path / ".served.v1.partial"
    staging.mkdir()
    (staging / FILES[1]).write_bytes((whole / FILES[1]).read_bytes()[:5])
    fetched = fetch(client, "support-bot", "v1", tmp_path / "served")
    assert fetched.bytes_received == _sizes(whole) - 5
    assert (tmp_path / "served" / FILES[1]).read_bytes() == (whole / FILES[1]).read_bytes()


def test_damaged_bytes_are_not_put_in_place(line: str, client: LetheClient, tmp_path: Path) -> None:
    staging = tmp_path / ".served.v1.partial"
    staging.mkdir()
    (staging / FILES[1]).write_bytes(b"wrong")
    with pytest.raises(Problem) as refused:
        fetch(client, "support-bot", "v1", tmp_path / "served")
    assert refused.value.code == "digest-mismatch"
    assert not (tmp_path / "served").exists()
    fetch(client, "support-bot", "v1", tmp_path / "served")


def test_a_withdrawn_version_leaves_what_is_there_alone(
    house: House, line: str, client: LetheClient, tmp_path: Path
) -> None:
    house.submit(remove("p1-0"))
    house.serve(line)
    client.transport.send("POST", "/v1/adapters/support-bot/withdraw", {"versions": ["v1"]})
    with pytest.raises(Problem) as refused:
        fetch(client, "support-bot", "v1", tmp_path / "served")
    assert refused.value.status == 410
    assert not (tmp_path / "served").exists()


def test_the_command_names_what_it_fetched(line: str, lethe: Callable[..., Command], tmp_path: Path) -> None:
    done = lethe("fetch", "support-bot@v1", tmp_path / "served", "--json")
    assert (done.code, done.json["version"]) == (0, "support-bot@v1")
    assert lethe("fetch", "support-bot", tmp_path / "served").code == 2


def test_the_signature_goes_where_it_is_wanted(line: str, lethe: Callable[..., Command], tmp_path: Path) -> None:
    served, signature = tmp_path / "served", tmp_path / "served.sig"
    assert lethe("fetch", "support-bot@production", served, "--signature", signature).code == 0
    assert "dsseEnvelope" in json.loads(signature.read_text())
    assert sorted(file.name for file in served.iterdir()) == FILES, (
        "lethe verify refuses files that were not certified"
    )
