"""The README's Python example, run as it stands against the live API."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.house import House, people
from tests.support.live_service import Service, working

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
BEGIN, END = "<!-- python:begin -->\n```python\n", "```\n<!-- python:end -->"


def test_it_forgets_fetches_and_verifies(house: House, service: Service, tmp_path: Path) -> None:
    example = (ROOT / "README.md").read_text(encoding="utf-8").split(BEGIN)[1].split(END)[0]
    rows = [{**row, "subject": str(row["subject"]).replace("Person 3", "user-123")} for row in people(10)]
    line = house.line("helpdesk", rows)
    environment = {**os.environ, "LETHE_URL": service.url, "LETHE_API_KEY": service.key, "PYTHONPATH": str(ROOT)}
    with working(house, [line]):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", example],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "helpdesk@v2 is verified\n"
    assert sorted(file.name for file in (tmp_path / "helpdesk").iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
