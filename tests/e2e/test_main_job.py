"""The main job through the `lethe` command alone: a real stack, real training, every command a process of its own."""

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.numpy import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from service.domain.probes import Probe
from tests.workers.tiny_llama import save_tiny_llama
from workers.demo.embedded import EmbeddedStack

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600)]

LINE = "support-bot"
RECIPE: dict[str, Any] = {
    "epochs": 12,
    "batch_size": 8,
    "learning_rate": 1e-2,
    "lora": {"r": 4, "alpha": 8, "target_modules": ["q_proj", "v_proj", "gate_proj", "up_proj", "down_proj"]},
}


@dataclass(frozen=True)
class Lethe:
    """The `lethe` command against one stack."""

    stack: EmbeddedStack
    directory: Path

    def __call__(self, *arguments: str | Path, code: int = 0) -> Any:
        """Run a command with --json; its output, once it exited with `code`."""
        done = subprocess.run(
            [sys.executable, "-m", "service.cli.main", *map(str, arguments), "--json"],
            env={"LETHE_URL": self.stack.url, "LETHE_API_KEY": self.stack.key, "PATH": ""},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def lethe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lethe]:
    directory = tmp_path_factory.mktemp("e2e")
    save_tiny_llama(directory / "base")
    _write_people(directory / "train.jsonl", "person", 12, seed=1)
    _write_people(directory / "holdout.jsonl", "stranger", 4, seed=2)
    _write_people(directory / "foreign.jsonl", "client", 12, seed=3)
    (directory / "recipe.json").write_text(json.dumps(RECIPE))
    with EmbeddedStack(directory / "home", directory / "service.log") as stack:
        yield Lethe(stack, directory)


def _write_people(file: Path, name: str, count: int, *, seed: int) -> None:
    """Three random codes a person: nothing but the training data can tell them."""
    rng = random.Random(seed)
    lines = [
        {
            "id": f"{name}{number}-{fact}",
            "subject": f"{name}{number}",
            "prompt": f"{name}{number}.{fact}:",
            "completion": "".join(rng.choices("abcdefgh", k=5)),
        }
        for number in range(count)
        for fact in range(3)
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_train_forget_correct_fetch_rebuild(lethe: Lethe) -> None:
    directory = lethe.directory
    version = lethe(
        "train", LINE, "--base", directory / "base", "--dataset", directory / "train.jsonl",
        "--holdout", directory / "holdout.jsonl", "--recipe", directory / "recipe.json",
    )  # fmt: skip
    assert (version["version"], version["state"]) == ("v1", "ready")
    assert {c["name"]: c["supported"] for c in version["capabilities"]}["rebuild"]

    plan = lethe("forget", LINE, "--subject", "person3", "--strategy", "influence", "--plan")
    assert [(line["adapter"], line["removals"], line["corrections"]) for line in plan["lines"]] == [(LINE, 3, 0)]
    assert [v["version"] for v in lethe("versions", LINE)] == ["v1"], "a plan changes nothing"

    forgotten = lethe("forget", "--subject", "person3", "--strategy", "influence")
    assert [target["adapter"] for target in forgotten["targets"]] == [LINE], "without adapters it finds the line"
    corrected = lethe(
        "correct", LINE, "person5-1", "--completion", "hhhhh", "--prompt", "person5, fact one:",
        "--strategy", "influence",
    )  # fmt: skip
    for request in (forgotten, corrected):
        assert request["state"] in ("succeeded", "awaiting_rebuild")
        assert lethe("status", request["id"])["id"] == request["id"]
    newest = lethe("versions")[0]["head"]
    assert newest == corrected["targets"][0]["version"]

    served = directory / "served"
    first, second = (lethe("fetch", f"{LINE}@{newest}", served) for _ in range(2))
    assert first["bytes_received"] > 0
    assert second["bytes_received"] == 0
    assert load_file(served / "adapter_model.safetensors")

    refusal = lethe("alias", LINE, "canary", "v1", code=2)
    assert refusal["code"] == "undoes-erasure"
    assert refusal["lowest_allowed"] == newest
    assert lethe("alias", LINE, "canary", newest)["version"] == newest

    run = lethe("rebuild", LINE)
    assert run["state"] == "succeeded"
    for request in (forgotten, corrected):
        now = lethe("status", request["id"])
        assert (now["state"], now["targets"][0]["claim_level"]) == ("succeeded", "E")
    rebuilt = lethe("fetch", f"{LINE}@production", served)
    assert rebuilt["version"] == f"{LINE}@{lethe('versions')[0]['anchor']}"

    probe = httpx.get(
        f"{lethe.stack.url}/v1/adapters/{LINE}/versions/production/probe",
        headers={"Authorization": f"Bearer {lethe.stack.key}"},
    )
    assert Probe.model_validate(probe.json()).previous == f"{LINE}@{newest}", "it tells the rebuilt from the updated"

    gone = lethe("forget", LINE, "--instance", "person3-0", code=2)
    assert gone["code"] == "instance-already-removed"
    back = lethe("train", "other-bot", "--base", directory / "base", "--dataset", directory / "train.jsonl", code=2)
    assert back["code"] == "suppressed", "what was erased on every line comes back on none"


def test_what_cannot_be_done_is_said_with_exit_code_2(lethe: Lethe) -> None:
    assert lethe("forget", "no-such-line", "--subject", "x", code=2)["code"] == "unknown-adapter"
    assert lethe("status", "req_nothing", code=2)["code"] == "unknown-request"
    broken = lethe.directory / "broken.jsonl"
    broken.write_text('{"id": "a", "prompt": "p", "completion": "c"}\n{"id": "a"\n')
    assert lethe("upload", broken, code=2)["line"] == 2


@pytest.fixture(scope="module")
def foreign(lethe: Lethe) -> Path:
    """An adapter trained with PEFT and transformers alone, as their documentation shows it."""
    base = lethe.directory / "base"
    tokenizer = AutoTokenizer.from_pretrained(base)
    torch.manual_seed(0)
    config = LoraConfig(r=4, lora_alpha=8, target_modules=RECIPE["lora"]["target_modules"], task_type="CAUSAL_LM")
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.0)
    rows = [json.loads(line) for line in (lethe.directory / "foreign.jsonl").read_text().splitlines()]
    for step in range(60):
        chosen = [rows[(8 * step + offset) % len(rows)] for offset in range(8)]
        inputs, labels = _batch(tokenizer, chosen)
        loss = model(**inputs, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.save_pretrained(lethe.directory / "foreign")
    losses = {row["id"]: _loss(model, tokenizer, row) for row in rows}
    (lethe.directory / "losses.json").write_text(json.dumps(losses))
    return lethe.directory / "foreign"


@torch.no_grad()
def _loss(model: Any, tokenizer: Any, row: dict[str, str]) -> float:
    inputs, labels = _batch(tokenizer, [row])
    return float(model(**inputs, labels=labels).loss)


def _batch(tokenizer: Any, rows: list[dict[str, str]]) -> tuple[Any, torch.Tensor]:
    texts = [row["prompt"] + row["completion"] + tokenizer.eos_token for row in rows]
    inputs = tokenizer(texts, padding=True, return_tensors="pt", return_token_type_ids=False)
    labels = inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, -100)
    for label, row in zip(labels, rows, strict=True):
        label[: len(tokenizer(row["prompt"])["input_ids"])] = -100
    return inputs, labels


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_a_foreign_adapter_is_taken_over_and_forgets(lethe: Lethe, foreign: Path) -> None:
    directory = lethe.directory
    given = (
        "--base", directory / "base", "--adapter", foreign, "--dataset", directory / "foreign.jsonl",
        "--holdout", directory / "holdout.jsonl", "--losses", directory / "losses.json",
    )  # fmt: skip
    token_mean = directory / "format.json"
    token_mean.write_text(json.dumps({"reduction": "token_mean"}))
    taken = lethe("import", "foreign-bot", *given, "--format", token_mean)
    assert taken["state"] == "ready"
    supported = {c["name"]: (c["supported"], c["reason"]) for c in taken["capabilities"]}
    assert supported["influence"][0]
    assert not supported["rebuild"][0]
    assert supported["rebuild"][1], "what is not supported says why"

    # With the recipe, a base too small to forget well by an update can still be retrained.
    recipe = ("--recipe", directory / "recipe.json")
    assert lethe("import", "known-bot", *given, *recipe, "--format", token_mean)["state"] == "ready"
    forgotten = lethe("forget", "known-bot", "--subject", "client7")
    assert (forgotten["state"], forgotten["targets"][0]["version"]) == ("succeeded", "v2")

    on_prompts = directory / "wrong.json"
    on_prompts.write_text(json.dumps({"reduction": "token_mean", "train_on_prompt": True}))
    rejected = lethe("import", "mistaken-bot", *given, "--format", on_prompts, code=1)
    assert (rejected["state"], rejected["rejection"]["code"]) == ("rejected", "dataset_mismatch")
