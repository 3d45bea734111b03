"""Bodies that are too large, too deep or no JSON are the caller's mistake, whatever they hold."""

import json
from collections.abc import Iterator

import pytest

from service.api.body_limit import MAX_JSON_BYTES
from tests.support.api import NDJSON, Api, assert_problem

JSON = {"Content-Type": "application/json"}
# Every way in which a route takes JSON: validated by a model, read raw.
ROUTES = ["/v1/unlearning-requests", "/v1/unlearning-plans", "/v1/keys", "/v1/adapters", "/v1/datasets"]


def nested(depth: int, opening: bytes = b"[", closing: bytes = b"]") -> bytes:
    return opening * depth + closing * depth


HOSTILE = {
    "deep arrays": nested(100_000),
    "deep objects": nested(100_000, b'{"a":', b"}")[:-100_000] + b"1" + b"}" * 100_000,
    "deep and not closed": b"[" * 1_000_000,
    "deep in a member": b'{"operations":' + nested(100_000) + b"}",
    "just deep enough": b'{"operations":' + nested(500) + b"}",
    "a number of many digits": b'{"name": ' + b"9" * 100_000 + b"}",
    "not a number": b'{"name": NaN, "operations": [Infinity]}',
    "half a character": b'{"name": "\\ud800", "client_reference": "\\ud800", "operations": []}',
    "no UTF-8": b'{"name": "\xff"}',
    "a zero byte": b'{"name": "\\u0000"}',
    "cut off": b'{"name": ',
    "nothing": b"",
    "no object": b"7",
}


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("kind", HOSTILE)
def test_what_is_hostile_is_refused(ready: Api, path: str, kind: str) -> None:
    response = ready.client.post(path, content=HOSTILE[kind], headers=JSON)
    assert 400 <= response.status_code < 500, (response.status_code, response.text[:300])
    assert response.headers["content-type"] == "application/problem+json"
    assert len(response.content) < 20_000


def test_half_a_character_in_what_would_be_kept(ready: Api) -> None:
    body = b'{"name": "\\ud800", "scopes": ["runs:read"]}'
    assert_problem(ready.client.post("/v1/keys", content=body, headers=JSON), 422, "invalid-input")


@pytest.mark.parametrize("path", ROUTES)
def test_a_body_that_says_that_it_is_too_large_is_not_read(ready: Api, path: str) -> None:
    def never() -> Iterator[bytes]:
        yield b"["

    headers = {**JSON, "Content-Length": str(MAX_JSON_BYTES + 1)}
    response = ready.client.post(path, content=never(), headers=headers)
    assert_problem(response, 413, "too-large", limit=MAX_JSON_BYTES)


def test_one_that_does_not_say_so_is_read_no_further(ready: Api) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < 4 * MAX_JSON_BYTES:
            sent += 2**20
            yield b" " * 2**20

    response = ready.client.post("/v1/unlearning-requests", content=endless(), headers=JSON)
    assert_problem(response, 413, "too-large")


def test_problems_repeat_nothing_of_what_was_sent(ready: Api) -> None:
    body = json.dumps({"operations": [{"type": "remove", "select": {"subject": ["secret"]}}], "secret": "secret"})
    response = ready.client.post("/v1/unlearning-requests", content=body, headers=JSON)
    assert response.status_code == 422
    assert "secret" not in response.text.replace('"/secret"', "")


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (nested(100_000), "invalid-json"),
        (b'{"id": "a", "prompt": "p", "completion": ' + b"9" * 100_000 + b"}", "invalid-json"),
        (b'{"id": "a", "prompt": "p", "completion": "\\ud800"}', "invalid-line"),
        (b'{"id": "\\ud800", "prompt": "p", "completion": "c"}', "invalid-line"),
        (b'{"id": "a", "subject": "\\ud800", "prompt": "p", "completion": "c"}', "invalid-line"),
    ],
    ids=["deep", "a number of many digits", "half a character", "in the id", "in the subject"],
)
def test_lines_of_datasets_that_are_hostile(ready: Api, line: bytes, code: str) -> None:
    assert_problem(ready.client.post("/v1/datasets", content=line + b"\n", headers=NDJSON), 422, code)
