"""The live service keeps to its OpenAPI document, whatever is sent: schemathesis, with every check on.

`make test-contract` runs all of it for long; here is a part that ends soon and is the same each time.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from service.evidence.tokens import new_token
from service.settings import Settings
from tests.support.api_server import api_server
from tests.support.house import House, people
from tests.support.live_service import opened_house

CONFIG = Path(__file__).parent / "schemathesis" / "schemathesis.toml"
# What the document's examples name, so that the examples mean something here.
LINE, SUBJECT, INSTANCES = "support-bot", "user-123", ("row-17", "row-18")
EXAMPLES = os.environ.get("CONTRACT_EXAMPLES")
SOON = ["--phases", "fuzzing,stateful", "--max-examples", "4"]
LONG = ["--phases", "examples,coverage,fuzzing,stateful", "--max-examples", str(EXAMPLES)]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600 if EXAMPLES else 300)]


def populate(house: House) -> None:
    rows = people(6)
    for row, instance_id in zip(rows, INSTANCES, strict=False):
        row |= {"id": instance_id, "subject": SUBJECT}
    house.line(LINE, rows)
    house.line("other-bot", people(4))


def test_the_service_keeps_to_its_contract(database_url: str, tmp_path: Path) -> None:
    key = new_token()
    # Limits of calls are tested by tests/service/api; here they would only be in the way.
    unlimited = {"rate_limit": 0, "rate_limit_posts": 0, "rate_limit_failures": 0}
    settings = Settings(
        home=tmp_path,
        database_url=database_url,
        admin_key=SecretStr(key),
        redis_url="redis://127.0.0.1:1/0",
        **unlimited,
    )
    with opened_house(database_url, tmp_path) as house:
        populate(house)
        with api_server(house, settings) as url:
            run = subprocess.run(
                [
                    *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG)),
                    *("run", f"{url}/openapi.json", "--header", f"Authorization: Bearer {key}"),
                    *("--no-color", "--workers", "2"),
                    *(LONG if EXAMPLES else SOON),
                ],
                cwd=CONFIG.parent,
                capture_output=True,
                text=True,
            )
    print(run.stdout[-2000:])  # noqa: T201 - the summary, for who asks for it with -rP
    assert run.returncode == 0, run.stdout[-30_000:] + run.stderr[-2000:]
