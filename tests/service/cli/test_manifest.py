"""`lethe manifest`: what is printed can be applied."""

from collections.abc import Callable

import pytest
import yaml

from tests.service.cli.conftest import Command
from tests.support.house import House, people

pytestmark = pytest.mark.slow


def test_it_prints_the_manifest(house: House, lethe: Callable[..., Command]) -> None:
    house.line("helpdesk", people(4))
    shown = yaml.safe_load(lethe("manifest", "helpdesk", "lora-adapter", "--base-model", "llama").out)
    assert (shown["kind"], shown["spec"]["baseModel"]) == ("LoraAdapter", "llama")
    assert (
        yaml.safe_load(lethe("manifest", "helpdesk", "lora-adapter", "--json").json["manifest"])["kind"]
        == "LoraAdapter"
    )
    refused = lethe("manifest", "helpdesk", "helm-chart", "--json")
    assert (refused.code, refused.json["code"]) == (2, "unknown-manifest")
