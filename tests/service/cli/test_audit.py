"""`lethe audit`: an export that verifies anywhere, and a chain that verifies where it runs."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from service.client import Lethe as Client
from tests.service.cli.conftest import Command
from tests.support.house import House, people, remove

pytestmark = pytest.mark.slow

Lethe = Callable[..., Command]


@pytest.fixture
def request_id(house: House) -> str:
    """A request that was answered, so that there is a chain and a certificate."""
    line = house.line("support-bot", people(6))
    found = house.submit(remove("p0-0"))
    house.serve(line)
    return found


@pytest.fixture
def export(request_id: str, lethe: Lethe, tmp_path: Path) -> Path:
    file = tmp_path / "audit.jsonl"
    done = lethe("audit", "export", "--out", file, "--json")
    assert (done.code, done.json["rows"]) == (0, len(file.read_text().splitlines()) - 1)
    return file


@pytest.fixture
def keys(client: Client, tmp_path: Path) -> Path:
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps(client.get_jwks()))
    return file


def rewritten(file: Path, change: Callable[[list[str]], list[str]]) -> Path:
    other = file.with_name("tampered.jsonl")
    other.write_text("".join(f"{line}\n" for line in change(file.read_text().splitlines())))
    return other


def test_an_export_verifies_without_the_service(lethe: Lethe, export: Path, keys: Path) -> None:
    nowhere = ("--url", "http://127.0.0.1:9")
    done = lethe("audit", "verify", export, "--keys", keys, *nowhere, "--json")
    assert (done.code, done.json["verified"]) == (0, True)
    assert done.json["head"]["position"] == done.json["rows"]
    told = lethe("audit", "verify", export, "--keys", keys, *nowhere)
    assert "rows are a whole chain up to the head" in told.out
    assert "not that what they say is true" in told.out


def test_so_does_the_running_service(lethe: Lethe, request_id: str) -> None:
    assert lethe("audit", "verify", "--json").json["verified"]
    printed = lethe("audit", "export")
    assert '"envelope"' in printed.out.splitlines()[-1]


def test_a_database_that_was_tampered_with_is_found(lethe: Lethe, house: House, request_id: str) -> None:
    with house.store.write() as unit:
        unit.feed.audit_rows(0, 10)[2].actor = "somebody else"
    done = lethe("audit", "verify", "--json")
    (finding,) = done.json["findings"]
    assert (done.code, finding["code"], finding["position"]) == (1, "audit-altered", 3)


@pytest.mark.parametrize(
    ("change", "code", "position"),
    [
        (lambda lines: lines[2:], "audit-truncated-start", 1),
        (lambda lines: [*lines[:-3], lines[-1]], "audit-truncated-end", -2),
        (lambda lines: lines[:-1], "audit-head-missing", 0),
        (lambda lines: lines[:3] + lines[4:], "audit-dropped", 4),
        (lambda lines: [lines[0], lines[2], lines[1], *lines[3:]], "audit-reordered", 2),
        (lambda lines: [lines[0], lines[1].replace("lethe", "nobody").replace("key_", "yek_"), *lines[2:]],
         "audit-altered", 2),
    ],
)  # fmt: skip
def test_what_was_done_to_an_export_is_named_with_its_place(
    lethe: Lethe, export: Path, keys: Path, change: Callable[[list[str]], list[str]], code: str, position: int
) -> None:
    count = len(export.read_text().splitlines()) - 1
    tampered = rewritten(export, change)
    done = lethe("audit", "verify", tampered, "--keys", keys, "--json")
    (finding,) = done.json["findings"]
    place = position if position > 0 else count + position
    assert (done.code, finding["code"], finding["position"]) == (1, code, place)
    assert finding["detail"] in lethe("audit", "verify", tampered, "--keys", keys).out


def test_a_certificate_pins_a_row(
    lethe: Lethe, house: House, client: Client, request_id: str, export: Path, tmp_path: Path
) -> None:
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    old.write_text(json.dumps(client.list_certificates(request_id)[0].model_dump(mode="json")))
    done = lethe("audit", "verify", export, "--certificate", old, "--json")
    assert (done.code, done.json["pinned"] is not None) == (0, True)
    with house.store.read() as unit:
        line = unit.lines.by_name("support-bot")
    assert line is not None
    later = house.submit(remove("p1-0"))
    house.serve(line.id)
    new.write_text(json.dumps(client.list_certificates(later)[0].model_dump(mode="json")))
    behind = lethe("audit", "verify", export, "--certificate", new, "--json")
    assert (behind.code, behind.json["findings"][0]["code"]) == (1, "audit-older-than-certificate")
    assert lethe("audit", "verify", "--certificate", new).code == 0


def test_a_certificate_that_does_not_verify_pins_nothing(
    lethe: Lethe, client: Client, request_id: str, export: Path, tmp_path: Path
) -> None:
    certificate = dict(client.list_certificates(request_id)[0].envelope)
    certificate["signatures"] = [{"keyid": "nobody", "sig": "AAAA"}]
    file = tmp_path / "forged.json"
    file.write_text(json.dumps(certificate))
    done = lethe("audit", "verify", export, "--certificate", file, "--json")
    assert (done.code, done.json["findings"][0]["code"]) == (1, "unknown-key")


def test_what_is_no_export(lethe: Lethe, keys: Path, tmp_path: Path) -> None:
    for file, code in ((keys, "not-an-audit-export"), (tmp_path / "nothing", "unreadable-file")):
        done = lethe("audit", "verify", file, "--json")
        assert (done.code, done.json["code"]) == (2, code)
