"""The README's walk through the API, run as it stands."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.workers.tiny_llama import save_tiny_llama
from workers.demo.embedded import EmbeddedStack

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600)]

README = Path(__file__).parents[2] / "README.md"
BEGIN, END = "<!-- walkthrough:begin -->\n```bash\n", "```\n<!-- walkthrough:end -->"


def test_every_command_of_the_walk_through_works(tmp_path: Path) -> None:
    demo = tmp_path / ".lethe" / "demo"
    save_tiny_llama(demo / "base-tiny")
    for name, count in (("trained", 30), ("holdout", 8)):
        lines = [
            {"id": f"{name}{n}", "subject": f"{name}-{n}", "prompt": f"{name} {n}:", "completion": f" {n * 7919}"}
            for n in range(count)
        ]
        (demo / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    script = README.read_text().split(BEGIN)[1].split(END)[0]
    with EmbeddedStack(tmp_path / "home", tmp_path / "service.log") as stack:
        environment = {**os.environ, "LETHE_URL": stack.url, "LETHE_API_KEY": stack.key}
        environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
        )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert (tmp_path / "helpdesk.tar.gz").stat().st_size > 0
    assert "All 2 files in helpdesk are those it speaks of." in done.stdout
    assert "Claim level E, exact" in done.stdout
    assert "The certificate pins row number" in done.stdout
    assert '"claim_level":"E"' in done.stdout.replace(" ", "") or "certificate.issued" in done.stdout
