"""The same tests against the double, always, and against a real vLLM where `make test-vllm` names its Python."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.support.lora_files import random_tensors, write_adapter
from tests.support.vllm_double import vllm_double
from tests.support.vllm_double_engine import write_base
from tests.vllm.bed import API_KEY, PROMPT, Bed, client_of

VLLM_PYTHON = os.environ.get("VLLM_PYTHON")
SERVERS = ["double", *([pytest.param("vllm", marks=pytest.mark.vllm)] if VLLM_PYTHON else [])]
MODULES = [f"model.layers.{layer}.self_attn.{name}" for layer in (0, 1) for name in ("q_proj", "v_proj")]


@pytest.fixture(scope="module")
def double_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_base(tmp_path_factory.mktemp("double") / "base", MODULES, width=16)


@pytest.fixture(scope="module", params=SERVERS)
def bed(request: pytest.FixtureRequest) -> Iterator[Bed]:
    """A server that the tests of a module share: two slots, rank at most 16."""
    if request.param == "vllm":
        yield request.getfixturevalue("real_bed")
        return
    yield from _double_bed(request.getfixturevalue("double_base"))


@pytest.fixture(params=SERVERS)
def own_bed(request: pytest.FixtureRequest) -> Iterator[Bed]:
    """A server for one test, which may break it."""
    if request.param == "vllm":
        yield request.getfixturevalue("own_real_bed")
        return
    yield from _double_bed(request.getfixturevalue("double_base"))


@pytest.fixture(scope="session")
def real_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama with heads of a size that vLLM's attention on the CPU takes."""
    from tests.workers.tiny_llama import save_tiny_llama

    heads = {"hidden_size": 128, "intermediate_size": 256, "num_attention_heads": 2, "num_key_value_heads": 2}
    return save_tiny_llama(tmp_path_factory.mktemp("llama"), **heads, initializer_range=0.1)


@pytest.fixture(scope="module")
def real_bed(real_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    yield from _real_bed(real_base, tmp_path_factory.mktemp("vllm"))


@pytest.fixture
def own_real_bed(real_base: Path, tmp_path: Path) -> Iterator[Bed]:
    yield from _real_bed(real_base, tmp_path)


def _real_bed(base: Path, directory: Path) -> Iterator[Bed]:
    from tests.vllm.real import real_bed, vllm_server

    with vllm_server(str(VLLM_PYTHON), base, directory / "log", {}) as server, real_bed(server, base) as bed:
        yield bed


def _double_bed(base: Path) -> Iterator[Bed]:
    with vllm_double(base, api_key=API_KEY) as double, client_of(double.url) as client:
        yield Bed(
            client=client,
            base=base,
            reference=lambda directory: [float(value) for value in double.log_probs(PROMPT, directory)],
            holds=lambda directory: double.engine.copies_of(directory) > 0,
            ended=lambda: double.ended,
        )


@pytest.fixture
def adapter(tmp_path: Path) -> Callable[..., Path]:
    """Writes a random adapter for a base model; the same seed gives the same."""

    def write(bed: Bed, seed: int, **changes: object) -> Path:
        tensors = random_tensors(bed.base, seed)
        return write_adapter(
            tmp_path / f"adapter-{seed}-{np.random.default_rng().integers(1 << 32)}", tensors, **changes
        )

    return write
