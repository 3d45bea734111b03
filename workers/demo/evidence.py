"""What the demonstration leaves for anybody to verify: its newest certificate, all of them, and the published keys."""

import json
import sys
from pathlib import Path

from service.client import Lethe

CERTIFICATE, KEYS = "certificate.json", "jwks.json"


def save_evidence(client: Lethe, request_id: str, directory: Path) -> None:
    """Write a request's certificates, and its newest one apart, with the key set that verifies them."""
    certificates = [one.model_dump(mode="json") for one in client.list_certificates(request_id)]
    for name, value in (
        ("certificates.json", certificates),
        (CERTIFICATE, certificates[0]),
        (KEYS, client.get_jwks()),
    ):
        (directory / name).write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def verify_command(directory: Path, adapter: str) -> str:
    """The command line that verifies the newest certificate against the downloaded files, offline.

    `adapter`: the directory below `directory` that has them.
    """
    lethe = Path(sys.executable).with_name("lethe")
    program = lethe.relative_to(Path.cwd()) if lethe.is_relative_to(Path.cwd()) else lethe
    return f"{program} verify {directory / CERTIFICATE} --adapter {directory / adapter} --keys {directory / KEYS}"
