"""What servers mount: versions whole or not at all, zeros of their shape, and nothing that is not needed."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from service.domain.errors import Corrupted, NotFound
from service.hotswap.directory import Directory
from service.store.blobs import Blobs
from service.store.digests import Manifest
from tests.support.lora_files import random_tensors, write_adapter
from tests.support.serving import MODULES
from tests.support.vllm_double_engine import write_base

DIGEST = "a" * 64


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs((tmp_path / "blobs").as_uri())


@pytest.fixture
def directory(tmp_path: Path, blobs: Blobs) -> Directory:
    return Directory(tmp_path / "serving", blobs)


@pytest.fixture
def files(tmp_path: Path, blobs: Blobs) -> Manifest:
    base = write_base(tmp_path / "base", MODULES, width=16)
    return blobs.put_tree(write_adapter(tmp_path / "made", random_tensors(base, 1)), "runs/1")


def test_a_version_and_its_zeros(directory: Directory, files: Manifest, tmp_path: Path) -> None:
    directory.place(DIGEST, "runs/1", files)
    placed, blank = tmp_path / "serving" / DIGEST, tmp_path / "serving" / f"{DIGEST}.blank"
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        assert (placed / name).read_bytes() == (tmp_path / "made" / name).read_bytes()
    assert (blank / "adapter_config.json").read_bytes() == (placed / "adapter_config.json").read_bytes()
    weights, zeros = (load_file(path / "adapter_model.safetensors") for path in (placed, blank))
    assert {name: (t.shape, t.dtype) for name, t in zeros.items()} == {
        name: (t.shape, t.dtype) for name, t in weights.items()
    }
    assert not any(np.any(tensor) for tensor in zeros.values())
    assert directory.digests() == {DIGEST}


def test_placing_it_again_changes_nothing(directory: Directory, files: Manifest, tmp_path: Path) -> None:
    directory.place(DIGEST, "runs/1", files)
    before = (tmp_path / "serving" / DIGEST).stat()
    directory.place(DIGEST, "runs/1", files)
    assert (tmp_path / "serving" / DIGEST).stat() == before


def test_zeros_that_are_missing_are_made_again(directory: Directory, files: Manifest, tmp_path: Path) -> None:
    directory.place(DIGEST, "runs/1", files)
    blank = tmp_path / "serving" / f"{DIGEST}.blank"
    blank.rename(tmp_path / "elsewhere")
    directory.place(DIGEST, "runs/1", files)
    assert blank.is_dir()


def test_other_files_than_were_published_do_not_appear(directory: Directory, files: Manifest) -> None:
    other = {name: {**entry, "sha256": "0" * 64} for name, entry in files.items()}
    with pytest.raises(Corrupted):
        directory.place(DIGEST, "runs/1", other)
    with pytest.raises(NotFound):
        directory.place(DIGEST, "runs/2", files)
    assert directory.digests() == set()


def test_what_is_not_needed_goes_at_once_and_may_come_back(
    directory: Directory, files: Manifest, tmp_path: Path
) -> None:
    for _ in range(2):
        directory.place(DIGEST, "runs/1", files)
        directory.hide(DIGEST)
        assert directory.digests() == set()
    directory.hide(DIGEST)
    directory.sweep()
    assert [path.name for path in (tmp_path / "serving").iterdir()] == [".drafts"]


def test_what_lies_there_besides_is_left_alone(directory: Directory, files: Manifest, tmp_path: Path) -> None:
    directory.place(DIGEST, "runs/1", files)
    (tmp_path / "serving" / "notes").mkdir()
    assert directory.digests() == {DIGEST}
    directory.sweep()
    assert (tmp_path / "serving" / "notes").is_dir()
