"""PEFT and transformers load adapters through the Hub facade as they would from the Hub, in a process of their own."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import LlamaForCausalLM

from service.flows.staged import StoredTree
from tests.support.api import ADMIN_KEY, Api, removal
from tests.support.house import people
from tests.support.server import serving
from tests.workers.tiny_llama import save_tiny_llama

# PEFT 0.21 asks transformers 5.23 for a property that it deprecates.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
]

LOAD = """
import json, sys
import torch
from peft import PeftModel
from transformers import LlamaForCausalLM

base, wanted = sys.argv[1], json.loads(sys.argv[2])

def logits(model):
    with torch.no_grad():
        return model.eval()(torch.arange(8)[None]).logits[0, -1].tolist()

def through_peft(repository, revision):
    return PeftModel.from_pretrained(LlamaForCausalLM.from_pretrained(base), repository, revision=revision)

def through_transformers(repository, revision):
    model = LlamaForCausalLM.from_pretrained(base)
    model.load_adapter(repository, adapter_kwargs={"revision": revision})
    return model

print(json.dumps([[logits(load(*at)) for load in (through_peft, through_transformers)] for at in wanted]))
"""


class RealAdapters(Api):
    """Its versions are adapters of a real, tiny model: every one is another."""

    base: Path

    def tree(self) -> StoredTree:
        source = self.directory / uuid4().hex
        model = get_peft_model(
            LlamaForCausalLM.from_pretrained(self.base),
            LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM", init_lora_weights=False),
        )
        model.save_pretrained(str(source))
        (source / "README.md").unlink()
        prefix = f"runs/{source.name}"
        return StoredTree(prefix, self.blobs.put_tree(source, prefix))


@pytest.fixture
def api(sqlite_url: str, tmp_path: Path) -> Iterator[RealAdapters]:
    """v1 in service, v2 in production."""
    api = RealAdapters(tmp_path / "home", sqlite_url)
    api.base = save_tiny_llama(tmp_path / "base")
    line = api.line("bot", people(10))
    api.client.post("/v1/unlearning-requests", json=removal("p1-0"))
    api.serve(line)
    yield api
    api.store.close()


def expected(api: RealAdapters, version: str, directory: Path) -> list[float]:
    """The logits of the version's files, downloaded one by one."""
    directory.mkdir()
    for name in api.client.get(f"/v1/adapters/bot/versions/{version}").json()["files"]:
        (directory / name).write_bytes(api.client.get(f"/v1/adapters/bot/versions/{version}/files/{name}").content)
    model = PeftModel.from_pretrained(LlamaForCausalLM.from_pretrained(api.base), str(directory)).eval()
    with torch.no_grad():
        logits: list[float] = model(torch.arange(8)[None]).logits[0, -1].tolist()
    return logits


def test_they_compute_what_the_version_does(api: RealAdapters, tmp_path: Path) -> None:
    wanted = [("bot/v1", None), ("bot/v2", None), ("bot/adapter", None), ("bot/adapter", "v1")]
    with serving(api.app) as url:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        environment |= {"HF_ENDPOINT": f"{url}/hub", "HF_TOKEN": ADMIN_KEY, "HF_HOME": str(tmp_path / "hf")}
        done = subprocess.run(
            [sys.executable, "-c", LOAD, str(api.base), json.dumps(wanted)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
        )
    assert done.returncode == 0, done.stderr[-3000:]

    first, second = expected(api, "v1", tmp_path / "v1"), expected(api, "v2", tmp_path / "v2")
    assert first != second
    for (repository, revision), got in zip(wanted, json.loads(done.stdout), strict=True):
        is_first = "v1" in (repository.partition("/")[2], revision)
        for logits in got:
            assert logits == pytest.approx(first if is_first else second, abs=1e-5), (repository, revision)
