"""`lethe fetch`: what was fetched is named, and the signature goes where it is wanted."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.service.cli.conftest import Command
from tests.support.house import House, people

Lethe = Callable[..., Command]


@pytest.fixture(autouse=True)
def line(house: House) -> str:
    return house.line("support-bot", people(10))


def test_the_command_names_what_it_fetched(lethe: Lethe, tmp_path: Path) -> None:
    done = lethe("fetch", "support-bot@v1", tmp_path / "served", "--json")
    assert (done.code, done.json["version"]) == (0, "support-bot@v1")
    assert lethe("fetch", "support-bot", tmp_path / "served").code == 2


def test_the_signature_goes_where_it_is_wanted(lethe: Lethe, tmp_path: Path) -> None:
    served, signature = tmp_path / "served", tmp_path / "served.sig"
    assert lethe("fetch", "support-bot@production", served, "--signature", signature).code == 0
    assert "dsseEnvelope" in json.loads(signature.read_text())
    assert sorted(file.name for file in served.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"], (
        "lethe verify refuses files that were not certified"
    )
