"""An adapter directory becomes one archive, always the same one, with nothing in it that Lethe does not read."""

import tarfile
from pathlib import Path

import pytest

from service.cli.packing import ADAPTER_FILES, pack_adapter, pack_directory
from service.domain.errors import InvalidArchive


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    directory = tmp_path / "adapter"
    directory.mkdir()
    for name in (*ADAPTER_FILES, "README.md", "optimizer.pt"):
        (directory / name).write_text(name)
    return directory


def _names(archive: Path) -> list[str]:
    with tarfile.open(archive) as tar:
        return tar.getnames()


def test_only_what_lethe_reads_goes_in(adapter: Path, tmp_path: Path) -> None:
    assert _names(pack_adapter(adapter, tmp_path / "a.tar")) == list(ADAPTER_FILES)


def test_the_same_files_make_the_same_bytes(adapter: Path, tmp_path: Path) -> None:
    first = pack_adapter(adapter, tmp_path / "a.tar").read_bytes()
    for file in adapter.iterdir():
        file.touch()
        file.chmod(0o600)
    assert pack_adapter(adapter, tmp_path / "b.tar").read_bytes() == first


def test_a_record_is_packed_whole(tmp_path: Path) -> None:
    record = tmp_path / "record"
    (record / "checkpoints").mkdir(parents=True)
    (record / "record.json").write_text("{}")
    (record / "checkpoints" / "1.safetensors").write_text("x")
    assert _names(pack_directory(record, tmp_path / "r.tar")) == ["checkpoints/1.safetensors", "record.json"]


def test_pickled_weights_are_refused_with_the_way_out(adapter: Path, tmp_path: Path) -> None:
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    with pytest.raises(InvalidArchive) as refused:
        pack_adapter(adapter, tmp_path / "a.tar")
    assert refused.value.fix is not None
    assert "safe_serialization" in refused.value.fix


def test_an_adapter_one_level_down_is_found_for_the_user(adapter: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidArchive) as refused:
        pack_adapter(adapter.parent, tmp_path / "a.tar")
    assert refused.value.fix == f"Did you mean {adapter}?"
