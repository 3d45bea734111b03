"""The same tests against the double, always, and against a real vLLM where `make test-vllm` names its Python."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.lora_files import random_tensors, write_adapter
from tests.support.vllm_double_engine import write_base
from tests.vllm.bed import Bed, double_bed

SERVERS = ["double"]
if os.environ.get("VLLM_PYTHON"):
    SERVERS.append(pytest.param("vllm", marks=[pytest.mark.vllm, pytest.mark.timeout(900)]))
MODULES = [f"model.layers.{layer}.self_attn.{name}" for layer in (0, 1) for name in ("q_proj", "v_proj")]


@pytest.fixture(scope="session")
def double_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_base(tmp_path_factory.mktemp("double") / "base", MODULES, width=16)


@pytest.fixture(scope="session")
def real_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama with heads of a size that vLLM's attention on the CPU takes."""
    from tests.workers.tiny_llama import save_tiny_llama

    heads = {"hidden_size": 128, "intermediate_size": 256, "num_attention_heads": 2, "num_key_value_heads": 2}
    return save_tiny_llama(tmp_path_factory.mktemp("llama"), **heads, initializer_range=0.1)


@pytest.fixture(scope="module", params=SERVERS)
def bed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    """A server that the tests of a module share: two slots, rank at most 16."""
    yield from _bed(request, tmp_path_factory)


@pytest.fixture(params=SERVERS)
def own_bed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    """A server for one test, which may break it."""
    yield from _bed(request, tmp_path_factory)


def _bed(request: pytest.FixtureRequest, directories: pytest.TempPathFactory) -> Iterator[Bed]:
    if request.param == "double":
        with double_bed(request.getfixturevalue("double_base")) as bed:
            yield bed
    else:
        from tests.vllm.real import real_bed

        with real_bed(request.getfixturevalue("real_base"), directories.mktemp("vllm")) as bed:
            yield bed


@pytest.fixture
def adapter(tmp_path: Path) -> Callable[..., Path]:
    """Writes a random adapter for a server's base model; the same seed gives the same."""

    def write(bed: Bed, seed: int) -> Path:
        return write_adapter(tmp_path / f"{seed}-{uuid4().hex}", random_tensors(bed.base, seed))

    return write
