"""The demonstration leaves evidence that verifies."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from typer.testing import CliRunner

from service.cli.main import app
from service.client import Lethe
from service.client.answers.requests import Certificate
from service.domain.adapters import ClaimLevel
from service.evidence.keys import jwks
from service.evidence.statements import certificate
from tests.support.evidence import FILES, certificate_facts, fixed_signer
from workers.demo.evidence import save_evidence, verify_command


class Answers:
    """A client whose service has two certificates."""

    def list_certificates(self, request_id: str) -> list[Certificate]:
        newest = fixed_signer().envelope(certificate(certificate_facts()))
        return [_certificate("cert_2", newest), _certificate("cert_1", {})]

    def get_jwks(self) -> dict[str, Any]:
        return jwks([fixed_signer().jwk()])


def _certificate(certificate_id: str, envelope: dict[str, Any]) -> Certificate:
    return Certificate(
        id=certificate_id,
        adapter="support-bot",
        version="v3",
        run="run_1",
        claim_level=ClaimLevel.exact,
        final=True,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        envelope=envelope,
    )


def test_the_printed_command_verifies_what_was_left(tmp_path: Path) -> None:
    adapter = tmp_path / "downloads" / "support-bot-v3"
    adapter.mkdir(parents=True)
    for name, data in FILES.items():
        (adapter / name).write_bytes(data)
    save_evidence(cast(Lethe, Answers()), "req_1", tmp_path)
    program, *arguments = verify_command(tmp_path, "downloads/support-bot-v3").split()
    assert Path(program).resolve() == Path(sys.executable).with_name("lethe").resolve()
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert [item["id"] for item in json.loads((tmp_path / "certificates.json").read_text())] == ["cert_2", "cert_1"]
