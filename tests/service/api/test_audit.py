"""The audit export: a chain that anybody can check."""

import json

from service.evidence.audit import verify
from tests.support.api import Api, removal
from tests.support.house import people


def chain(rows: list[dict[str, object]]) -> list[tuple[dict[str, object], str]]:
    """The rows as `verify` takes them. Times are hashed as Python writes them in ISO form."""
    return [
        (
            {
                "at": str(row["created_at"]).replace("Z", "+00:00"),
                "actor": row["actor"],
                "action": row["action"],
                "data": row["data"],
            },
            str(row["hash"]),
        )
        for row in rows
    ]


def test_pages_and_lines_are_the_same_unbroken_chain(api_on_both: Api) -> None:
    api = api_on_both
    line = api.line("bot", people(10))
    api.client.post("/v1/unlearning-requests", json=removal("p1-0"))
    api.serve(line)
    pages: list[dict[str, object]] = []
    cursor: str | None = None
    while True:
        params = {"limit": "4", **({"cursor": cursor} if cursor else {})}
        page = api.client.get("/v1/audit", params=params).json()
        pages += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    response = api.client.get("/v1/audit", headers={"Accept": "application/x-ndjson"})
    assert response.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in response.text.splitlines()]
    assert lines == pages
    assert [row["seq"] for row in lines] == sorted(row["seq"] for row in lines)
    assert verify(chain(lines)) == lines[-1]["hash"]
    actions = {row["action"] for row in lines}
    assert {"key.created", "dataset.created", "request.created", "run.claimed", "version.published"} <= actions
