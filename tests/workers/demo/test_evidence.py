"""The demonstration leaves evidence that verifies."""

import json
import sys
from pathlib import Path
from typing import Any, cast

from typer.testing import CliRunner

from service.cli.client import LetheClient
from service.cli.main import app
from service.evidence.keys import jwks
from service.evidence.statements import certificate
from tests.support.evidence import FILES, certificate_facts, fixed_signer
from workers.demo.evidence import save_evidence, verify_command


class Answers:
    """A client whose service has two certificates."""

    def certificates(self, request_id: str) -> list[dict[str, Any]]:
        newest = fixed_signer().envelope(certificate(certificate_facts()))
        return [{"id": "cert_2", "envelope": newest}, {"id": "cert_1", "envelope": {}}]

    def public_keys(self) -> dict[str, Any]:
        return jwks([fixed_signer().jwk()])


def test_the_printed_command_verifies_what_was_left(tmp_path: Path) -> None:
    adapter = tmp_path / "downloads" / "support-bot-v3"
    adapter.mkdir(parents=True)
    for name, data in FILES.items():
        (adapter / name).write_bytes(data)
    save_evidence(cast(LetheClient, Answers()), "req_1", tmp_path)
    program, *arguments = verify_command(tmp_path, "downloads/support-bot-v3").split()
    assert Path(program).resolve() == Path(sys.executable).with_name("lethe").resolve()
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert [item["id"] for item in json.loads((tmp_path / "certificates.json").read_text())] == ["cert_2", "cert_1"]
