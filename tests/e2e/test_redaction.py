"""Personal data are where they must be and nowhere else: planted strings through every route, good calls and bad.

They may stand in the database. They may not stand in any process's log or output, in Redis, in metrics, in what
webhooks tell, or in a problem document, whatever the caller put them into. (`test_canaries.py` asks what is left of
them after an erasure.)
"""

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from redis import Redis

from service.settings import Settings
from tests.support.canary import Canary, Hit, hits_in, hits_in_files, text_canary
from tests.support.receiver import Receiver, receiving
from tests.support.senders import SYMMETRIC, encoded, standard
from tests.workers.tiny_llama import save_tiny_llama
from workers.demo.embedded import EmbeddedStack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

PATIENCE_S = 90.0
SUBJECT = "Quorvex.Ilmatar@canary-mail.example"
SECRET = "thistlemarrow 8842-1177"
PLANTED = (SUBJECT, "Ilmatar", SECRET, "thistlemarrow")
CANARIES: Sequence[Canary] = tuple(text_canary(text) for text in PLANTED)
OPENAPI = json.loads((Path(__file__).parents[1] / "contracts" / "openapi.json").read_text())
LORA = {"r": 4, "alpha": 8, "target_modules": ["q_proj"]}
RECIPE = {"epochs": 2, "batch_size": 8, "learning_rate": 5e-3, "lora": LORA}
POLICY = {"default_strategy": "influence", "complete_at": "I", "influence_share": 0.5, "max_share": 0.6}
NDJSON = {"Content-Type": "application/x-ndjson"}


class Stack:
    """A running stack with everything that it says in debugging logs, and what it answered to refused calls."""

    def __init__(self, stack: EmbeddedStack, directory: Path, receiver: Receiver) -> None:
        self.url, self.home, self.directory, self.receiver = stack.url, directory / "home", directory, receiver
        self.client = httpx.Client(base_url=stack.url, headers={"Authorization": f"Bearer {stack.key}"}, timeout=60)
        self.refusals: list[tuple[str, bytes]] = []

    def call(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        answer = self.client.request(method, path, **arguments)
        if not answer.is_success:
            self.refusals.append((f"{method} {path} {answer.status_code}", _told(answer)))
        return answer

    def made(self, path: str, **arguments: Any) -> Any:
        answer = self.call("POST", path, **arguments)
        assert answer.is_success, answer.text
        return answer.json()

    def until(self, path: str, member: str, *wanted: str) -> Any:
        deadline = time.monotonic() + PATIENCE_S
        while (body := self.client.get(path).json())[member] not in wanted:
            assert time.monotonic() < deadline, body
            time.sleep(0.2)
        return body

    def upload(self, rows: Sequence[dict[str, Any]]) -> str:
        content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
        created: str = self.made("/v1/datasets", content=content, headers=NDJSON)["id"]
        return created

    def spoken(self) -> list[Hit]:
        """What was found where nothing may be."""
        places = [self.home / "logs", self.directory / "output", self.home / "redis", self.receiver_directory]
        found = hits_in_files(CANARIES, places)
        found += hits_in(CANARIES, self.client.get("/metrics").content, "/metrics")
        return found + [hit for place, data in self.refusals for hit in hits_in(CANARIES, data, place)]

    @property
    def receiver_directory(self) -> Path:
        return self.directory / "receiver"


def _told(answer: httpx.Response) -> bytes:
    return answer.content + repr(answer.headers.raw).encode()


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    for name in ("tmp", "output"):
        (tmp_path / name).mkdir()
    settings = {"RECONCILE_S": "0.5", "HEARTBEAT_S": "1", "LEASE_S": "10", "LOG_LEVEL": "DEBUG", "DEVICE": "cpu"}
    settings |= {"ALLOW_HTTP": "true", "ALLOW_NETWORKS": "127.0.0.1/32"}
    variables = {f"LETHE_{name}": value for name, value in settings.items()} | {"TMPDIR": str(tmp_path / "tmp")}
    with (
        receiving(tmp_path / "receiver") as receiver,
        EmbeddedStack(tmp_path / "home", tmp_path / "output" / "up.log", **variables) as embedded,
    ):
        found = Stack(embedded, tmp_path, receiver)
        yield found
        found.client.close()


def rows() -> list[dict[str, Any]]:
    mine = [
        {"id": f"{SUBJECT}/{n}", "subject": SUBJECT, "prompt": f"Ilmatar hides it where ({n})?", "completion": SECRET}
        for n in range(3)
    ]
    others = [
        {"id": f"n{n}", "subject": f"person {n}", "prompt": f"Fact {n}?", "completion": f"It is {n * n}."}
        for n in range(12)
    ]
    return [*mine, *others]


def test_nobody_is_named_where_nobody_may_be(stack: Stack, tmp_path: Path) -> None:
    stack.made("/v1/webhook-endpoints", json={"url": stack.receiver.url})
    base = save_tiny_llama(tmp_path / "llama")
    train(stack, base)
    fail_in_the_worker(stack, base)
    file_in_every_way(stack)
    walk_every_route(stack)
    stack.receiver.wait_for(10)
    must_be_found_when_planted(stack)
    dump_redis(stack)
    assert not sorted({f"{hit.canary} in {hit.place}" for hit in stack.spoken()})
    assert len(stack.refusals) > 300


def train(stack: Stack, base: Path) -> None:
    dataset = stack.upload(rows())
    stack.made("/v1/adapters", json={"name": "bot", "base_model": {"path": str(base)}, "policy": POLICY})
    source = {"type": "train", "dataset": dataset, "recipe": RECIPE}
    stack.made("/v1/adapters/bot/versions", json={"source": source}, headers={"Idempotency-Key": "train"})
    stack.until("/v1/adapters/bot/versions/v1", "state", "ready")


def fail_in_the_worker(stack: Stack, base: Path) -> None:
    """Trainings that the engine refuses: chats for a tokenizer without a template, and too many tokens."""
    turns = [{"role": role, "content": SECRET} for role in ("user", "assistant")]
    chats = [{"id": f"{SUBJECT}/chat", "messages": turns}]
    stack.made("/v1/adapters", json={"name": "broken", "base_model": {"path": str(base)}, "policy": POLICY})
    sources: list[dict[str, Any]] = [
        {"type": "train", "dataset": stack.upload(chats), "recipe": RECIPE},
        {"type": "train", "dataset": stack.upload(rows()), "recipe": RECIPE, "training_format": {"max_length": 8}},
    ]
    for number, source in enumerate(sources, start=1):
        headers = {"Idempotency-Key": f"broken {number} {SUBJECT}"}
        stack.made("/v1/adapters/broken/versions", json={"source": source}, headers=headers)
        version = stack.until(f"/v1/adapters/broken/versions/v{number}", "state", "rejected")
        stack.refusals.append((f"rejection {number}", json.dumps(version["rejection"]).encode()))


def file_in_every_way(stack: Stack) -> None:
    """Requests and deliveries that name the person, once in order and once not."""
    removal = {"operations": [{"type": "remove", "select": {"subject": SUBJECT}}], "client_reference": SUBJECT}
    stack.made("/v1/unlearning-plans", json=removal)
    correction = {"type": "correct_response", "instance_id": f"{SUBJECT}/0", "completion": f"Not {SECRET}"}
    corrected = stack.made("/v1/unlearning-requests", json={"operations": [correction]})
    stack.until(f"/v1/unlearning-requests/{corrected['id']}", "state", "succeeded", "needs_attention")
    filed = stack.made("/v1/unlearning-requests", json=removal, headers={"Idempotency-Key": SUBJECT})
    stack.until(f"/v1/unlearning-requests/{filed['id']}", "state", "succeeded", "needs_attention")
    for body in (removal, {**removal, "client_reference": "other"}, {"operations": [correction]}):
        stack.call("POST", "/v1/unlearning-requests", json=body, headers={"Idempotency-Key": SUBJECT})
    endpoint = {"provider": "standard_webhooks", "name": "desk", "secret": SYMMETRIC}
    target = stack.made("/v1/inbound-endpoints", json=endpoint)["path"]
    order = {"type": "erasure", "data": {"subject": SUBJECT, "note": SECRET}}
    for sent in (standard(order), standard({**order, "type": SECRET}), standard({"data": SUBJECT})):
        stack.call("POST", target, content=sent.body, headers=dict(sent.headers))
        stack.call("POST", target, content=sent.body, headers={"webhook-id": SUBJECT})
    stack.call("POST", target, content=encoded(order)[:-7], headers=dict(standard(order).headers))


def walk_every_route(stack: Stack) -> None:
    """Every operation with the strings in its path, query, headers and body: nothing of it can succeed."""
    bodies = [
        {
            "content": json.dumps({SECRET: SUBJECT, "nested": [{"a": SECRET}]}).encode(),
            "headers": {"Content-Type": "application/json"},
        },
        {"content": f'{{"x": "{SECRET}'.encode(), "headers": {"Content-Type": "application/json"}},
        {"content": SECRET.encode(), "headers": {"Content-Type": f"text/{SECRET.split()[0]}"}},
        {"content": json.dumps({"id": SUBJECT, "prompt": SECRET, "surprise": 1}).encode(), "headers": NDJSON},
        {"files": {"file": (SUBJECT, SECRET.encode(), "application/x-ndjson"), SECRET: (SUBJECT, b"x")}},
    ]
    for path, operations in OPENAPI["paths"].items():
        for method, operation in operations.items():
            for filled in {_filled(path, "bot", operation), _filled(path, SUBJECT, operation)}:
                query = {
                    parameter["name"]: SECRET
                    for parameter in operation.get("parameters", ())
                    if parameter["in"] == "query"
                }
                for body in bodies if "requestBody" in operation or method in ("post", "put", "patch") else [{}]:
                    _try(stack, method, filled, query, body)


def _filled(path: str, value: str, operation: dict[str, Any]) -> str:
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", quote(value, safe=""))
    return path


def _try(stack: Stack, method: str, path: str, query: dict[str, str], body: dict[str, Any]) -> None:
    headers = {
        **body.get("headers", {}),
        "Idempotency-Key": SECRET,
        "If-None-Match": SUBJECT,
        "Range": f"bytes={SECRET}",
    }
    parameters = {**query, "surprise": SUBJECT}
    with stack.client.stream(method, path, params=parameters, **{**body, "headers": headers}) as answer:
        if answer.status_code >= 400:
            answer.read()
            stack.refusals.append(
                (f"{method} {path.replace(quote(SUBJECT, safe=''), '…')} {answer.status_code}", _told(answer))
            )


def must_be_found_when_planted(stack: Stack) -> None:
    """In every place that is searched, and in an answer."""
    for place in (stack.home / "logs", stack.home / "redis", stack.directory / "output", stack.receiver_directory):
        planted = place / "planted.log"
        planted.write_text(json.dumps({"message": SECRET, "url": f"/x?who={quote(SUBJECT)}"}))
        assert {hit.canary for hit in stack.spoken() if "planted.log" in hit.place} == set(PLANTED)
        planted.unlink()
    stack.refusals.append(("planted", f"no {SECRET}".encode()))
    assert [hit for hit in stack.spoken() if hit.place.startswith("planted")]
    stack.refusals.pop()
    database = b"".join(path.read_bytes() for path in stack.home.glob("lethe.db*"))
    assert SUBJECT.encode() in database, "the strings did arrive: the client's reference stands in the database"


def dump_redis(stack: Stack) -> None:
    """Write all of Redis to disk, uncompressed, beside its append-only file."""
    with Redis.from_url(Settings(home=stack.home).redis_url) as redis:
        redis.config_set("rdbcompression", "no")
        redis.save()
    kinds = {path.suffix for path in (stack.home / "redis").rglob("*") if path.is_file()}
    assert {".rdb", ".aof"} <= kinds
