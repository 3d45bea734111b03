"""The audit export: a chain that anybody can check."""

import json

from service.evidence.audit import GENESIS
from service.evidence.audit_export import read_export, verify_export
from service.evidence.key_set import KeySet, read_key_set
from service.evidence.verification import verify_envelope
from service.store.tables import AuditRow
from tests.support.api import Api, assert_problem, removal
from tests.support.house import people

NDJSON = {"Accept": "application/x-ndjson"}


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
    response = api.client.get("/v1/audit", headers=NDJSON)
    assert response.headers["content-type"] == "application/x-ndjson"
    *lines, head = [json.loads(line) for line in response.text.splitlines()]
    assert lines == pages
    assert (head["position"], head["seq"], head["hash"]) == (len(lines), lines[-1]["seq"], lines[-1]["hash"])
    assert verify_export(read_export(response.text.splitlines()), keys(api)).holds
    actions = {row["action"] for row in lines}
    assert {"key.created", "dataset.created", "request.created", "run.claimed", "version.published"} <= actions


def keys(api: Api) -> KeySet:
    return read_key_set(api.client_of(None).get("/.well-known/jwks.json").json())


class TestHead:
    def test_it_is_signed_and_moves_on(self, api_on_both: Api) -> None:
        api = api_on_both
        first = api.client.get("/v1/audit/head").json()
        api.line("bot", people(4))
        second = api.client.get("/v1/audit/head").json()
        assert second["position"] > first["position"] > 0
        for head in (first, second):
            found = verify_envelope(head["envelope"], keys(api))
            assert (found.holds, found.kind) == (True, "audit head")
            assert {name: found.predicate[name] for name in ("position", "seq", "hash")} == {
                name: head[name] for name in ("position", "seq", "hash")
            }

    def test_an_empty_chain_has_one_too(self, api: Api) -> None:
        with api.store.write() as unit:
            unit.session.query(AuditRow).delete()
        head = api.client.get("/v1/audit/head").json()
        assert (head["position"], head["seq"], head["hash"]) == (0, 0, GENESIS)
        assert verify_export(
            read_export(api.client.get("/v1/audit", headers=NDJSON).text.splitlines()), keys(api)
        ).holds

    def test_it_is_not_for_keys_that_are_bound_to_lines(self, api: Api) -> None:
        bound = api.client_with(lines=["bot"])
        assert_problem(bound.get("/v1/audit/head"), 403, "key-is-bound")
