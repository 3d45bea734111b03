"""Idempotency keys: a creating call has one effect, however often and however fast it is repeated."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from service.domain.scopes import Scope
from service.flows.reconcile import reconcile
from service.store.tables import ApiKey, Dataset, IdempotentResponse, Line, Run, UnlearningRequest, Version
from tests.support.api import NDJSON, Api, assert_problem, jsonl, removal
from tests.support.house import people

KEY = {"Idempotency-Key": "8e03978e-40d5-43dd-bc93-6894a57f9324"}
LINE = {"name": "bot", "base_model": {"path": "/base"}}


class TestReplay:
    def test_status_location_and_body_are_those_of_the_first_answer(self, api: Api) -> None:
        api.line("bot", people(10))
        first = api.client.post("/v1/unlearning-requests", json=removal("p1-0"), headers=KEY)
        again = api.client.post("/v1/unlearning-requests", json=removal("p1-0"), headers=KEY)
        assert (first.status_code, again.status_code) == (202, 202)
        assert again.json() == first.json()
        assert again.headers["location"] == first.headers["location"]
        assert again.headers["retry-after"] == first.headers["retry-after"]
        assert "idempotency-replayed" not in first.headers
        assert again.headers["idempotency-replayed"] == "true"
        assert api.count(UnlearningRequest) == 1

    def test_the_quotes_of_a_structured_field_make_no_difference(self, api: Api) -> None:
        first = api.client.post("/v1/adapters", json=LINE, headers={"Idempotency-Key": "abc"})
        again = api.client.post("/v1/adapters", json=LINE, headers={"Idempotency-Key": '"abc"'})
        assert again.headers["idempotency-replayed"] == "true"
        assert again.json() == first.json()

    def test_it_is_the_first_answer_even_if_the_resource_moved_on(self, api: Api) -> None:
        line = api.line("bot", people(10))
        api.client.post("/v1/unlearning-requests", json=removal("p1-0"), headers=KEY)
        api.serve(line)
        again = api.client.post("/v1/unlearning-requests", json=removal("p1-0"), headers=KEY)
        assert again.json()["state"] == "queued"
        assert api.client.get(again.headers["location"]).json()["state"] == "succeeded"

    def test_every_creating_call_honours_it(self, api: Api) -> None:
        api.line("bot", people(10))
        dataset = api.upload(people(3))
        train = {"source": {"type": "train", "dataset": dataset}}
        api.client.post("/v1/adapters", json={**LINE, "name": "fresh"})
        calls = [
            ("/v1/datasets", {"content": jsonl(people(4)), "headers": NDJSON}, Dataset),
            ("/v1/adapters", {"json": {**LINE, "name": "other"}}, Line),
            ("/v1/adapters/fresh/versions", {"json": train}, Version),
            ("/v1/adapters/bot/rebuilds", {}, Run),
            ("/v1/unlearning-requests", {"json": removal("p1-0")}, UnlearningRequest),
            ("/v1/keys", {"json": {"name": "k", "scopes": ["runs:read"]}}, ApiKey),
        ]
        for path, sent, table in calls:
            headers = {**sent.pop("headers", {}), **KEY}  # type: ignore[dict-item]
            first = api.client.post(path, headers=headers, **sent)  # type: ignore[arg-type]
            count = api.count(table)
            again = api.client.post(path, headers=headers, **sent)  # type: ignore[arg-type]
            assert first.is_success, first.text
            assert again.headers.get("idempotency-replayed") == "true", path
            assert again.headers["location"] == first.headers["location"]
            assert api.count(table) == count

    def test_the_token_of_a_key_is_neither_repeated_nor_stored(self, api: Api) -> None:
        body = {"name": "k", "scopes": ["runs:read"]}
        first = api.client.post("/v1/keys", json=body, headers=KEY).json()
        again = api.client.post("/v1/keys", json=body, headers=KEY).json()
        assert first["token"].startswith("lethe_")
        assert again == {**first, "token": None}

    def test_an_uploaded_form_is_recognised_whatever_its_boundary(self, api: Api) -> None:
        files = {"file": ("rows.jsonl", jsonl(people(3)))}
        first = api.client.post("/v1/datasets", files=files, headers=KEY)
        again = api.client.post("/v1/datasets", files=files, headers=KEY)
        assert first.request.headers["content-type"] != again.request.headers["content-type"]
        assert again.json() == first.json()
        assert api.count(Dataset) == 1


class TestConflicts:
    def test_another_body_under_the_same_key(self, api: Api) -> None:
        api.line("bot", people(10))
        api.client.post("/v1/unlearning-requests", json=removal("p1-0"), headers=KEY)
        response = api.client.post("/v1/unlearning-requests", json=removal("p2-0"), headers=KEY)
        assert_problem(response, 422, "idempotency-key-reused", field="Idempotency-Key")
        assert api.count(UnlearningRequest) == 1

    def test_another_file_under_the_same_key(self, api: Api) -> None:
        headers = {**NDJSON, **KEY}
        api.client.post("/v1/datasets", content=jsonl(people(3)), headers=headers)
        response = api.client.post("/v1/datasets", content=jsonl(people(4)), headers=headers)
        assert_problem(response, 422, "idempotency-key-reused")
        assert api.count(Dataset) == 1

    def test_keys_belong_to_a_caller_and_a_route(self, api: Api) -> None:
        api.client.post("/v1/adapters", json=LINE, headers=KEY)
        other = api.client_with(Scope.adapters_write)
        assert_problem(other.post("/v1/adapters", json=LINE, headers=KEY), 409, "name-taken")
        assert api.client.post(
            "/v1/keys", json={"name": "k", "scopes": ["runs:read"]}, headers=KEY
        ).status_code == 201  # fmt: skip

    def test_a_refused_call_leaves_the_key_free(self, api: Api) -> None:
        api.line("bot", people(10))
        wrong = api.client.post("/v1/unlearning-requests", json=removal("nobody"), headers=KEY)
        assert_problem(wrong, 404, "unknown-instance")
        right = api.client.post("/v1/unlearning-requests", json=removal("p1-0"), headers=KEY)
        assert right.status_code == 202
        assert "idempotency-replayed" not in right.headers

    @pytest.mark.parametrize("key", ["", '""', "x" * 256, "tab\there", b"caf\xc3\xa9"])
    def test_a_malformed_key(self, api: Api, key: str | bytes) -> None:
        response = api.client.post("/v1/adapters", json=LINE, headers={"Idempotency-Key": key})  # type: ignore[dict-item]
        assert_problem(response, 400, "invalid-idempotency-key", field="Idempotency-Key")
        assert api.count(Line) == 0

    def test_the_longest_key(self, api: Api) -> None:
        assert api.client.post("/v1/adapters", json=LINE, headers={"Idempotency-Key": "x" * 255}).status_code == 201


def test_answers_are_kept_for_thirty_days(api: Api) -> None:
    first = api.client.post("/v1/adapters", json=LINE, headers=KEY)
    for age, kept in ((29, 1), (31, 0)):
        with api.store.write() as unit:
            for row in unit.session.query(IdempotentResponse):
                row.created_at = unit.now - timedelta(days=age)
        reconcile(api.store, api.blobs)
        assert api.count(IdempotentResponse) == kept
    assert first.is_success
    assert_problem(api.client.post("/v1/adapters", json=LINE, headers=KEY), 409, "name-taken")


def test_racing_duplicates_have_one_effect(api_on_both: Api) -> None:
    api = api_on_both
    api.line("bot", people(10))
    clients = [api.client_of("lethe_admin_key_of_the_tests") for _ in range(8)]
    start = threading.Barrier(len(clients))

    def submit(position: int) -> tuple[int, str]:
        start.wait()
        response = clients[position].post("/v1/unlearning-requests", json=removal("p1-0"), headers=KEY)
        return response.status_code, response.text

    with ThreadPoolExecutor(len(clients)) as pool:
        answers = list(pool.map(submit, range(len(clients))))
    assert {status for status, _ in answers} == {202}
    assert len({body for _, body in answers}) == 1
    assert api.count(UnlearningRequest) == 1
    assert (
        len([event for event in api.client.get("/v1/events").json()["items"] if event["type"] == "request.created"])
        == 1
    )


def test_racing_bodies_under_one_key_have_one_effect(api_on_both: Api) -> None:
    api = api_on_both
    api.line("bot", people(10))
    clients = [api.client_of("lethe_admin_key_of_the_tests") for _ in range(6)]
    start = threading.Barrier(len(clients))

    def submit(position: int) -> int:
        start.wait()
        body = removal(f"p{position}-0")
        return clients[position].post("/v1/unlearning-requests", json=body, headers=KEY).status_code

    with ThreadPoolExecutor(len(clients)) as pool:
        statuses = sorted(pool.map(submit, range(len(clients))))
    assert statuses == [202, 422, 422, 422, 422, 422]
    assert api.count(UnlearningRequest) == 1
