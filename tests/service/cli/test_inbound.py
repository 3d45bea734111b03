"""`lethe inbound`: create, list, rotate, delete."""

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.service.cli.conftest import Command, Service
from tests.support.drp import BUSINESS, REQUESTS, Agent
from tests.support.house import House, people
from tests.support.senders import Sombra, standard

pytestmark = pytest.mark.slow

Lethe = Callable[..., Command]


def test_an_endpoint_from_its_making_to_its_end(house: House, service: Service, lethe: Lethe) -> None:
    house.line("bot", people(10))
    created = lethe(
        "inbound", "create", "standard_webhooks", "--line", "bot", "--kind", "id=user_id",
        "--erasure-type", "user.deleted", "--regulation", "gdpr", "--json",
    ).json  # fmt: skip
    sent = standard({"type": "user.deleted", "data": {"id": "Person 1"}}, created["secret"])
    answer = httpx.post(service.url + created["path"], content=sent.body, headers=dict(sent.headers))
    assert (answer.status_code, answer.json()["state"]) == (202, "queued")
    assert lethe("inbound", "rotate", created["id"], "--json").json["secret"] not in (None, created["secret"])
    assert created["path"] in lethe("inbound", "list").out
    assert lethe("inbound", "delete", created["id"]).code == 0
    assert lethe("inbound", "list", "--json").json == []


def test_a_public_key_from_a_file(lethe: Lethe, tmp_path: Path) -> None:
    file = tmp_path / "sombra.pem"
    file.write_text(Sombra().secret)
    created = lethe("inbound", "create", "transcend", "--secret-file", file, "--json").json
    assert created["secret"] is None
    assert "shown this once" in lethe("inbound", "create", "api_key").out


def test_an_agent_of_the_data_rights_protocol(lethe: Lethe, tmp_path: Path) -> None:
    file, agent = tmp_path / "verify_key.txt", Agent()
    file.write_text(f"{agent.verify_key}\n")
    options = ("--agent", agent.name, "--business", BUSINESS, "--callback-host", "agent.example.com")
    created = lethe("inbound", "create", "drp", *options, "--secret-file", file, "--json").json
    assert (created["agent_id"], created["business_id"]) == (agent.name, BUSINESS)
    assert (created["callback_hosts"], created["path"]) == (["agent.example.com"], REQUESTS)


def test_what_is_refused(lethe: Lethe) -> None:
    assert lethe("inbound", "create", "pigeon").code == 2
    assert lethe("inbound", "create", "api_key", "--kind", "id").code == 2
    refused = lethe("inbound", "create", "transcend", "--json")
    assert (refused.code, refused.json["code"]) == (2, "secret-required")
