"""What somebody asked to be forgotten is nowhere any more: a real stack, planted strings, and a thorough grep.

The canaries stand where personal data stand: in texts, in subject ids, in instance ids, in the holdout. They are
also thrown at the API in ways that it refuses, because refusals and their log lines like to quote.
"""

import base64
import json
import logging
import shutil
import sqlite3
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import numpy as np
import pytest
from redis import Redis
from safetensors.numpy import save
from transformers import AutoTokenizer

from service.domain.errors import Shredded
from service.flows.trees import keys as keys_in
from service.flows.vault import reading_vault
from service.settings import Settings
from service.store.blobs import Blobs
from service.store.database import Store
from service.store.local_cache import LocalCache
from tests.support.canary import Canary, bytes_canary, gzipped, hits_in, hits_in_files, summary, text_canary
from tests.workers.tiny_llama import save_tiny_llama
from workers.demo.embedded import EmbeddedStack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

log = logging.getLogger(__name__)

LINE = "bot"
PATIENCE_S = 60.0
DERIVED = ("blobs", "cache", "staging")
RECIPE = {
    "epochs": 4,
    "batch_size": 8,
    "learning_rate": 5e-3,
    "lora": {"r": 4, "alpha": 8, "target_modules": ["q_proj", "v_proj"]},
}
POLICY = {
    "default_strategy": "influence",
    "complete_at": "I",
    "influence_share": 0.5,
    "max_share": 0.6,
    "grace_period_s": 1,
    "out_of_fold": True,
}

SUBJECT = "Zörblax.Quintessa@canary-mail.example"
SECRET = "glimmerwort 4711-0815"
OLD_ANSWER = "vexomare ünder the ninth stair"
HELD = "holdout of Zörblax: brackenfell 9013"
PLANTED = (SUBJECT, "Quintessa", SECRET, "glimmerwort", OLD_ANSWER, "vexomare", HELD, "brackenfell")
ERASED_IDS = [f"{SUBJECT}/{number}" for number in range(3)]
CORRECTED_ID = "neutral-2-0"


def training_rows() -> list[dict[str, str]]:
    erased = [
        {"id": name, "subject": SUBJECT, "prompt": f"Where does Quintessa keep it ({number})?", "completion": SECRET}
        for number, name in enumerate(ERASED_IDS)
    ]
    others = [
        {
            "id": f"neutral-{number}-{fact}",
            "subject": f"person {number}",
            "prompt": f"Fact {fact} of {number}?",
            "completion": f"It is {number * fact}.",
        }
        for number in range(6)
        for fact in range(2)
    ]
    for row in others:
        if row["id"] == CORRECTED_ID:
            row["completion"] = OLD_ANSWER
    return [*others, *erased]


def holdout_rows() -> list[dict[str, str]]:
    neutral = [
        {"id": f"held-{n}", "subject": f"stranger {n}", "prompt": f"Never seen {n}?", "completion": f"No {n}."}
        for n in range(4)
    ]
    mine = {"id": f"held {SUBJECT}", "subject": SUBJECT, "prompt": "Never seen, Quintessa?", "completion": HELD}
    return [*neutral, mine]


@dataclass
class Deployment:
    """A running stack, a client of it, and all that it ever answered."""

    stack: EmbeddedStack
    directory: Path
    answers: dict[bytes, str] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        return self.directory / "home"

    @property
    def searched(self) -> list[Path]:
        return [self.home, self.directory / "tmp", self.directory / "output"]

    def call(self, method: str, path: str, *, ok: bool = True, **arguments: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.stack.key}", **arguments.pop("headers", {})}
        answer = httpx.request(method, f"{self.stack.url}{path}", headers=headers, timeout=60, **arguments)
        assert answer.is_success is ok, answer.text
        self.answers[answer.content + str(answer.headers.get("location")).encode()] = f"{method} {path}"
        return answer.json() if "json" in answer.headers.get("content-type", "") else answer.text

    def until(self, path: str, member: str, *wanted: str) -> Any:
        deadline = time.monotonic() + PATIENCE_S
        while (body := self.call("GET", path))[member] not in wanted:
            assert time.monotonic() < deadline, body
            time.sleep(0.2)
        return body

    def upload(self, rows: Sequence[dict[str, str]]) -> str:
        content = "".join(json.dumps(row, ensure_ascii=row["id"] in ERASED_IDS) + "\n" for row in rows).encode()
        headers = {"Content-Type": "application/x-ndjson"}
        created: str = self.call("POST", "/v1/datasets", content=content, headers=headers)["id"]
        return created

    def train(self, base: Path) -> None:
        train, holdout = self.upload(training_rows()), self.upload(holdout_rows())
        self.call("POST", "/v1/adapters", json={"name": LINE, "base_model": {"path": str(base)}, "policy": POLICY})
        source = {"type": "train", "dataset": train, "holdout": holdout, "recipe": RECIPE}
        version = self.call(
            "POST", f"/v1/adapters/{LINE}/versions", json={"source": source}, headers={"Idempotency-Key": "train"}
        )
        self.until(f"/v1/adapters/{LINE}/versions/{version['version']}", "state", "ready")

    def until_idle(self) -> None:
        """Wait for the leave-group-out adapters: their predictions are about the people, too."""
        deadline = time.monotonic() + PATIENCE_S
        while not any(version["capabilities"] and folds(version) for version in self.versions()):
            assert time.monotonic() < deadline
            time.sleep(0.2)

    def versions(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.call("GET", f"/v1/adapters/{LINE}/versions")["items"]
        return found

    def derived(self) -> set[Path]:
        """Files that were made from training data. The journal, which stays, holds ids and keyed hashes."""
        found = {path for name in DERIVED for path in (self.home / name).rglob("*") if path.is_file()}
        return {path for path in found if self.home / "blobs" / "journal" not in path.parents}

    @contextmanager
    def unmoving_database(self) -> Iterator[None]:
        """While somebody reads, no row leaves the write-ahead log before it stands in the database's file.

        Reading the one file and then the other would miss a row that is moved and overwritten in between.
        """
        with closing(Store(Settings(home=self.home).database_url)) as store, store.read() as unit:
            unit.feed.last_seq()
            yield

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        connection = sqlite3.connect(f"file:{self.home}/lethe.db?mode=ro", uri=True)
        try:
            return connection.execute(query, values).fetchall()
        finally:
            connection.close()


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_llama(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def canaries(base: Path) -> list[Canary]:
    tokenizer = AutoTokenizer.from_pretrained(base)
    return [text_canary(text, tokenizer(text, add_special_tokens=False)["input_ids"]) for text in PLANTED]


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    for name in ("tmp", "output"):
        (tmp_path / name).mkdir()
    settings = {"RECONCILE_S": "0.5", "HEARTBEAT_S": "1", "LEASE_S": "10", "LOG_LEVEL": "DEBUG", "DEVICE": "cpu"}
    variables = {f"LETHE_{name}": value for name, value in settings.items()} | {"TMPDIR": str(tmp_path / "tmp")}
    with EmbeddedStack(tmp_path / "home", tmp_path / "output" / "up.log", **variables) as stack:
        yield Deployment(stack, tmp_path)


def test_nothing_is_left_of_what_was_erased(deployment: Deployment, base: Path, canaries: list[Canary]) -> None:
    deployment.train(base)
    deployment.until_idle()
    derived = deployment.derived()
    assert derived
    with deployment.unmoving_database():
        keys = [*keys_of_what_goes(deployment), *keys_of_what_was_derived(deployment)]
        log.info("hits before: %d", must_be_found_before(deployment, canaries, keys))
    backup = copy_of_the_blob_store(deployment)
    assert not summary(hits_in_files(canaries, [backup])), "what is derived is sealed all along"
    sealed = opened(deployment, backup)
    assert {name.rpartition("/")[2] for name in sealed} == {"anchor", "fold"}
    assert all(sealed.values()), "with master key and database it opens, so that not opening will mean something"
    log.info("searched before: %d files, %d bytes", *amount(deployment.searched))
    must_be_found_when_planted(deployment, canaries)
    throw_at_the_api(deployment)

    request = erase(deployment)
    name_what_is_gone(deployment)
    read_everything(deployment, request)
    dump_redis(deployment)
    everything = [*canaries, *keys]
    deadline = time.monotonic() + PATIENCE_S
    while hits_in_files(everything, deployment.searched) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert not summary(hits_in_files(everything, deployment.searched))
    assert not derived & deployment.derived(), "gradients, sketches, vectors, predictions, weights and their caches go"
    assert opened(deployment, backup) == dict.fromkeys(sealed, False), "no backup of the bucket brings them back"

    deployment.stack.__exit__()
    assert not summary(hits_in_files(everything, deployment.searched))
    log.info("searched after: %d files, %d bytes", *amount(deployment.searched))
    log.info("searched: %d answers, %d bytes", len(deployment.answers), sum(map(len, deployment.answers)))
    answered = [hit for data, place in deployment.answers.items() for hit in hits_in(canaries, data, place)]
    assert not summary(answered)


def keys_of_what_goes(deployment: Deployment) -> list[Canary]:
    """Keys and ciphertexts of the rows that will be shredded: with the master key, either pair would open again."""
    rows = deployment.rows(
        "SELECT texts.id, wrapped_key, ciphertext FROM texts JOIN instances ON instances.text_id = texts.id "
        "WHERE instance_id IN (?, ?, ?, ?, ?)",
        *ERASED_IDS,
        CORRECTED_ID,
        f"held {SUBJECT}",
    )
    assert len(rows) == 5
    return [
        bytes_canary(f"{part} of {name}", data)
        for name, *parts in rows
        for part, data in zip(("wrapped key", "ciphertext"), parts, strict=True)
    ]


def keys_of_what_was_derived(deployment: Deployment) -> list[Canary]:
    """The wrapped keys of training record, vectors, sketch and predictions: they go with the anchor."""
    rows = deployment.rows("SELECT prefix, wrapped_key FROM trees WHERE wrapped_key IS NOT NULL")
    assert len(rows) > 1
    return [bytes_canary(f"wrapped key of {prefix}", key) for prefix, key in rows]


def copy_of_the_blob_store(deployment: Deployment) -> Path:
    """A backup of the bucket; it lies where nobody deletes it."""
    return Path(shutil.copytree(deployment.home / "blobs", deployment.directory / "backup"))


def opened(deployment: Deployment, backup: Path) -> dict[str, bool]:
    """Which sealed trees of a copy open now, with the master key and the database as they are."""
    settings = Settings(home=deployment.home)
    found = {}
    with closing(Store(settings.database_url)) as store, TemporaryDirectory() as place:
        cache = LocalCache(Path(place), Blobs(backup.as_uri()), keys_in(store, reading_vault(settings)))
        for (prefix,) in deployment.rows("SELECT prefix FROM trees"):
            if (backup / prefix).exists():
                try:
                    found[prefix] = cache.materialise(prefix).is_dir()
                except Shredded:
                    found[prefix] = False
    return found


def must_be_found_before(deployment: Deployment, canaries: list[Canary], keys: list[Canary]) -> int:
    """The grep finds what is there, so that finding nothing will mean something; and texts are sealed all along."""
    before = hits_in_files([*canaries, *keys], deployment.searched)
    files = {(hit.canary, hit.place.rpartition("/")[2].partition("-wal")[0]) for hit in before}
    assert (SUBJECT, "lethe.db") in files, "instance ids are looked up, so they stand in the database"
    records = {hit.place.split("/")[1] for hit in before if hit.canary == SUBJECT and hit.place.endswith(".json")}
    assert records == {"cache"}, "and in the training record, which is plain where a worker needs it and nowhere else"
    assert {(key.name, "lethe.db") for key in keys} <= files
    assert {hit.canary for hit in before} <= {SUBJECT, "Quintessa", *(key.name for key in keys)}, summary(before)
    return len(before)


def must_be_found_when_planted(deployment: Deployment, canaries: list[Canary]) -> None:
    """In every form, wherever we look."""
    raw = SECRET.encode()
    tokens = next(canary for canary in canaries if canary.name == SECRET).exact["tokens <i4"]
    forms = {
        "raw": raw,
        "json": json.dumps({"text": HELD}).encode(),
        "base64": base64.b64encode(b"x" + raw),
        "hex": raw.hex().encode(),
        "utf-16": SECRET.encode("utf-16"),
        "gzip": gzipped(json.dumps({"text": SECRET}).encode()),
        "zlib": zlib.compress(raw),
        "tokens": save({"input_ids": np.frombuffer(b"\7\0\0\0" + tokens, dtype="<i4")}),
    }
    for root in deployment.searched:
        for form, data in forms.items():
            scratch = root / f"scratch-{form}"
            scratch.write_bytes(b"junk" + data + b"junk")
            assert any(
                hit.place.startswith(f"{root.name}/{scratch.name}") for hit in hits_in_files(canaries, [root])
            ), form
            scratch.unlink()


def throw_at_the_api(deployment: Deployment) -> None:
    """Calls that name a person and are refused."""
    ndjson = {"Content-Type": "application/x-ndjson"}
    broken = json.dumps({"id": SUBJECT, "prompt": SECRET, "surprise": OLD_ANSWER}).encode()
    requests = "/v1/unlearning-requests"
    deployment.call("POST", "/v1/datasets", ok=False, content=broken, headers=ndjson)
    deployment.call("POST", "/v1/datasets", ok=False, content=broken[:-9], headers=ndjson)
    deployment.call("POST", requests, ok=False, json={"operations": [{"type": SUBJECT, SECRET: HELD}]})
    deployment.call("POST", requests, ok=False, content=broken[:-5], headers={"Content-Type": "application/json"})
    unknown = {"type": "correct_response", "instance_id": f"{SUBJECT}?", "completion": OLD_ANSWER}
    deployment.call("POST", requests, ok=False, json={"operations": [unknown]})
    deployment.call("GET", f"/v1/adapters?cursor={SUBJECT}", ok=False)
    deployment.call("GET", f"/v1/{SUBJECT}/{SECRET}", ok=False)
    deployment.call("GET", f"{requests}/{SUBJECT}"[:60], ok=False)


def erase(deployment: Deployment) -> str:
    """File the request, see it answered, have it rebuilt; returns its id."""
    body = {
        "operations": [
            {"type": "remove", "select": {"subject": SUBJECT.upper()}},
            {"type": "correct_response", "instance_id": CORRECTED_ID, "completion": "It is 42."},
        ],
        "strategy": "influence",
    }
    deployment.call("POST", "/v1/unlearning-plans", json=body)
    key = {"Idempotency-Key": "erase"}
    request: str = deployment.call("POST", "/v1/unlearning-requests", json=body, headers=key)["id"]
    path = f"/v1/unlearning-requests/{request}"
    deployment.until(path, "state", "succeeded")
    target = deployment.call("GET", path)["targets"][0]
    if target["claim_level"] != "E":
        run = deployment.call("POST", f"/v1/adapters/{LINE}/rebuilds")
        deployment.until(f"/v1/runs/{run['id']}", "state", "succeeded")
    assert deployment.call("GET", path)["targets"][0]["claim_level"] == "E"
    return request


def name_what_is_gone(deployment: Deployment) -> None:
    """What was erased is still known by its name to those who bring it along."""
    again = {"operations": [{"type": "remove", "select": {"instance_ids": [ERASED_IDS[1]]}}]}
    problem = deployment.call("POST", "/v1/unlearning-requests", ok=False, json=again)
    assert problem["code"] == "instance-already-removed"
    back = deployment.upload([{**training_rows()[-1], "id": "back-again"}])
    source = {"type": "train", "dataset": back, "recipe": RECIPE}
    deployment.call("POST", f"/v1/adapters/{LINE}/versions", ok=False, json={"source": source})


def read_everything(deployment: Deployment, request: str) -> None:
    path = f"/v1/unlearning-requests/{request}"
    for part in ("", "/report", "/report?format=html", "/certificates", "/receipt"):
        deployment.call("GET", f"{path}{part}")
    lists = ("adapters", f"adapters/{LINE}/versions", "unlearning-requests", "runs", "datasets")
    for name in (*lists, "events?limit=200", "audit?limit=200"):
        deployment.call("GET", f"/v1/{name}")
    deployment.call("GET", "/metrics")
    for version in deployment.versions():
        if version["state"] == "ready":
            deployment.call("GET", f"/v1/adapters/{LINE}/versions/{version['version']}/archive")
    newest, interim, *_ = deployment.call("GET", f"{path}/certificates")["items"]
    assert (newest["final"], interim["final"]) == (True, False)
    assert newest["supersedes"] == interim["id"]
    said = json.loads(base64.b64decode(newest["envelope"]["payload"]))["predicate"]
    gone = [copy["kind"] for copy in said["destroyed_copies"]]
    assert gone == ["sealed_rows", "derived_data", "out_of_fold_predictions"]


def dump_redis(deployment: Deployment) -> None:
    """Write all of Redis to disk, uncompressed, where the grep finds it."""
    with Redis.from_url(Settings(home=deployment.home).redis_url) as redis:
        redis.config_set("rdbcompression", "no")
        redis.save()
    assert list((deployment.home / "redis").glob("*.rdb"))


def folds(version: dict[str, Any]) -> bool:
    return any(c["name"] == "out-of-fold" and c["supported"] for c in version["capabilities"])


def amount(roots: Sequence[Path]) -> tuple[int, int]:
    """How many files there are below these directories, and of how many bytes."""
    sizes = [path.stat().st_size for root in roots for path in root.rglob("*") if path.is_file()]
    return len(sizes), sum(sizes)
