"""`lethe verify`: exit code 0 if it holds, 1 if not, 2 if there is nothing to verify."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from service.cli.main import app
from service.client import Lethe as Client
from service.evidence.keys import Signer, jwks
from service.evidence.statements import certificate
from tests.service.cli.conftest import Command
from tests.support.evidence import FILES, certificate_facts, fixed_signer
from tests.support.house import House, people

Lethe = Callable[..., Command]


def save(file: Path, document: object) -> Path:
    file.write_text(json.dumps(document))
    return file


@pytest.fixture
def envelope() -> dict[str, Any]:
    return fixed_signer().envelope(certificate(certificate_facts()))


@pytest.fixture
def signed(tmp_path: Path, envelope: dict[str, Any]) -> Path:
    return save(tmp_path / "certificate.json", envelope)


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return save(tmp_path / "jwks.json", jwks([fixed_signer().jwk()]))


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    directory = tmp_path / "adapter"
    directory.mkdir()
    for name, data in FILES.items():
        (directory / name).write_bytes(data)
    return directory


def verify(*arguments: str | Path) -> Command:
    """`lethe verify` where there is no service."""
    nowhere = {"LETHE_URL": "http://127.0.0.1:9", "COLUMNS": "200"}
    result = CliRunner().invoke(app, ["verify", *map(str, arguments)], env=nowhere)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return Command(result.exit_code, result.stdout, result.stderr)


def found(*arguments: str | Path) -> list[tuple[str, str | None]]:
    """What does not hold, by code and subject."""
    done = verify(*arguments, "--json")
    assert (done.code, done.json["verified"]) == (1, False)
    assert done.json["claims"] == []
    told = verify(*arguments)
    assert (told.code, told.out.splitlines()[0][:13]) == (1, "NOT VERIFIED:")
    for finding in done.json["findings"]:
        assert f"{finding['code']}: {finding['detail']}" in told.out
    return [(finding["code"], finding["subject"]) for finding in done.json["findings"]]


class TestHolds:
    def test_without_a_service_and_in_plain_words(self, signed: Path, keys: Path, adapter: Path) -> None:
        done = verify(signed, "--keys", keys, "--adapter", adapter)
        assert done.code == 0
        for part in (
            f"signed by key {fixed_signer().kid}",
            f"All 2 files in {adapter}",
            "Claim level E, exact: The adapter was retrained",
            "It is final",
            "within the deadline",
            "It does not say:",
            "that a law is satisfied",
            "backups, as long as their owners keep them",
            "These were destroyed:",
        ):
            assert part in done.out
        assert "guarantee" not in done.out.lower()
        assert "GDPR-compliant" not in done.out

    def test_for_machines(self, signed: Path, keys: Path) -> None:
        done = verify(signed, "--keys", keys, "--json")
        assert (done.code, done.json["verified"], done.json["kind"]) == (0, True, "certificate")
        assert (done.json["key"], done.json["findings"], done.json["files_compared"]) == (fixed_signer().kid, [], 0)
        assert done.json["statement"]["predicate"]["certificate"] == "cert_2"
        assert done.json["claims"]
        assert done.json["does_not_claim"]
        assert done.json["remains"]
        assert done.json["destroyed"]

    @pytest.mark.parametrize(
        "wrapped", [lambda e: {"id": "cert_2", "envelope": e}, lambda e: {"items": [{"envelope": e}]}, lambda e: [e]]
    )
    def test_as_the_api_returns_it(
        self, wrapped: Callable[[object], object], envelope: dict[str, Any], keys: Path, tmp_path: Path
    ) -> None:
        assert verify(save(tmp_path / "item.json", wrapped(envelope)), "--keys", keys).code == 0


class TestDoesNotHold:
    def test_tampered(self, envelope: dict[str, Any], keys: Path, tmp_path: Path) -> None:
        payload = base64.b64decode(envelope["payload"]).replace(b'"final"', b'"finaL"')
        tampered = {**envelope, "payload": base64.b64encode(payload).decode()}
        assert found(save(tmp_path / "t.json", tampered), "--keys", keys) == [("bad-signature", fixed_signer().kid)]

    def test_an_unknown_key(self, signed: Path, tmp_path: Path) -> None:
        others = save(tmp_path / "others.json", jwks([Signer.generate().jwk()]))
        assert found(signed, "--keys", others) == [("unknown-key", fixed_signer().kid)]

    def test_a_revoked_key(self, signed: Path, tmp_path: Path) -> None:
        revoked = {**fixed_signer().jwk(), "lethe_revoked_at": "2025-06-01T00:00:00Z"}
        keys = save(tmp_path / "revoked.json", jwks([{**revoked, "lethe_revocation_reason": "compromised"}]))
        assert found(signed, "--keys", keys) == [("revoked-key", fixed_signer().kid)]

    def test_a_key_that_was_withdrawn_later_is_named(self, signed: Path, tmp_path: Path) -> None:
        revoked = {**fixed_signer().jwk(), "lethe_revoked_at": "2025-06-01T00:00:00Z"}
        keys = save(tmp_path / "withdrawn.json", jwks([{**revoked, "lethe_revocation_reason": "withdrawn"}]))
        done = verify(signed, "--keys", keys)
        assert done.code == 0
        assert "which was withdrawn later, on 2025-06-01T00:00:00.000Z" in done.out

    def test_an_unknown_predicate(self, keys: Path, tmp_path: Path) -> None:
        other = {**certificate(certificate_facts()), "predicateType": "urn:other"}
        file = save(tmp_path / "other.json", fixed_signer().envelope(other))
        assert found(file, "--keys", keys) == [("unknown-predicate", "urn:other")]

    def test_files_that_are_others_missing_or_too_many(self, signed: Path, keys: Path, adapter: Path) -> None:
        (adapter / "adapter_config.json").write_text("{}")
        (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
        assert found(signed, "--keys", keys, "--adapter", adapter) == [
            ("digest-mismatch", "adapter_config.json"),
            ("missing-file", "adapter_model.safetensors"),
            ("unexpected-file", "adapter_model.bin"),
        ]


class TestBadInput:
    @pytest.mark.parametrize(
        ("document", "code"),
        [
            ({}, "not-an-envelope"),
            ([], "not-an-envelope"),
            ("text", "not-an-envelope"),
            ({"payload": "!", "payloadType": "x", "signatures": []}, "not-an-envelope"),
            ({"items": [{"envelope": {}}, {"envelope": {}}]}, "several-envelopes"),
        ],
    )
    def test_no_envelope(self, document: object, code: str, keys: Path, tmp_path: Path) -> None:
        done = verify(save(tmp_path / "x.json", document), "--keys", keys, "--json")
        assert (done.code, done.json["code"]) == (2, code)

    def test_no_json_and_no_file(self, signed: Path, keys: Path, tmp_path: Path) -> None:
        broken = tmp_path / "broken.json"
        broken.write_text("{")
        for file, code in ((broken, "not-json"), (tmp_path / "nothing.json", "unreadable-file")):
            done = verify(file, "--keys", keys, "--json")
            assert (done.code, done.json["code"]) == (2, code)
            assert verify(signed, "--keys", file).code == 2

    def test_no_key_set(self, signed: Path) -> None:
        done = verify(signed, "--keys", signed, "--json")
        assert (done.code, done.json["code"]) == (2, "not-a-key-set")

    def test_no_directory(self, signed: Path, keys: Path, tmp_path: Path) -> None:
        assert verify(signed, "--keys", keys, "--adapter", tmp_path / "nowhere").code == 2

    def test_no_keys_and_no_service(self, signed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("service.client.sending.FIRST_PAUSE_S", 0.001)
        assert verify(signed).code == 2


@pytest.mark.slow
class TestWithTheService:
    def test_its_keys_its_receipt_its_certificate_and_its_files(
        self, house: House, lethe: Lethe, client: Client, tmp_path: Path
    ) -> None:
        line = house.line("support-bot", people(10))
        request = lethe("forget", "--subject", "Person 3", "--no-wait", "--json").json["id"]
        house.serve(line)
        receipt = save(tmp_path / "receipt.json", client.get_receipt(request).model_dump(mode="json"))
        certified = save(tmp_path / "certificate.json", client.list_certificates(request)[0].model_dump(mode="json"))
        assert lethe("fetch", "support-bot@v2", tmp_path / "v2").code == 0
        assert lethe("verify", certified, "--adapter", tmp_path / "v2", "--json").json["files_compared"] == 2
        assert lethe("verify", receipt, "--json").json["kind"] == "receipt"
        refused = lethe("verify", receipt, "--adapter", tmp_path / "v2")
        assert refused.code == 2
        assert "speaks of no files" in refused.err
        kid = lethe("verify", certified, "--json").json["key"]
        assert lethe("signing-keys", "revoke", "--reason", "compromised", "--", kid).code == 0
        done = lethe("verify", certified, "--json")
        assert (done.code, [finding["code"] for finding in done.json["findings"]]) == (1, ["revoked-key"])
