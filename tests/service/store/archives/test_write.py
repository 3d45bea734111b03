import gzip
import hashlib
import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from service.domain.errors import Corrupted
from service.store.archives.write import Member, TarGz, archive_of_tree
from service.store.blobs import Blobs


def member(name: str, data: bytes) -> Member:
    return Member(name, len(data), lambda: io.BytesIO(data))


FILES = {
    "adapter_model.safetensors": bytes(range(256)) * 1000,
    "adapter_config.json": b"{}",
    "empty": b"",
    "exactly_a_block": b"x" * 512,
}


def archive(files: dict[str, bytes]) -> TarGz:
    return TarGz(member(name, data) for name, data in files.items())


def test_a_stock_tar_unpacks_it(tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(b"".join(archive(FILES).chunks()))

    subprocess.run(["tar", "xzf", "a.tar.gz"], cwd=tmp_path, check=True)

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.suffix != ".gz"} == FILES


def test_members_are_sorted_and_carry_no_trace_of_time_or_machine() -> None:
    with tarfile.open(fileobj=io.BytesIO(b"".join(archive(FILES).chunks()))) as tar:
        members = tar.getmembers()

    assert [m.name for m in members] == sorted(FILES)
    assert {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode) for m in members} == {(0, 0, 0, "", "", 0o644)}


def test_the_bytes_depend_on_the_files_alone() -> None:
    """A change of these bytes breaks the strong ETags that clients hold: it needs a new ETag scheme."""
    forward = b"".join(archive(FILES).chunks())
    backward = b"".join(archive(dict(reversed(FILES.items()))).chunks())

    assert forward == backward
    assert hashlib.sha256(forward).hexdigest() == "23a3ed76bbc2f932ba83831b7bee0029b02be0b74572f712bb483b2352d2c804"


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 62_975, 63_487, 65_535, 65_536, 200_000, 3_000_000])
def test_its_length_is_known_beforehand(size: int) -> None:
    data = os.urandom(size)
    tar_gz = archive({"file": data})
    packed = b"".join(tar_gz.chunks())

    assert len(packed) == tar_gz.size
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(packed))) as tar:
        extracted = tar.extractfile("file")
        assert extracted is not None
        assert extracted.read() == data


def test_packing_adds_little() -> None:
    assert archive({"file": bytes(10_000_000)}).size < 10_000_000 * 1.001


def test_any_range_is_a_slice_of_the_whole() -> None:
    tar_gz = archive(FILES)
    whole = b"".join(tar_gz.chunks())

    for start, stop in [(0, 1), (5, 20), (0, None), (100_000, 100_001), (len(whole) - 8, None), (7, 10**9), (9, 9)]:
        assert b"".join(tar_gz.chunks(start=start, stop=stop)) == whole[start:stop]


def test_a_file_of_another_length_than_stated_breaks_off_instead_of_ending_well() -> None:
    for stated in (3, 5):
        with pytest.raises(Corrupted):
            list(TarGz([Member("file", stated, lambda: io.BytesIO(b"four"))]).chunks())


def test_a_stored_tree_is_packed_from_the_store(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name, data in FILES.items():
        (source / name).write_bytes(data)
    blobs = Blobs(f"file://{tmp_path}/blobs")
    manifest = blobs.put_tree(source, "versions/ver_1")

    packed = b"".join(archive_of_tree(blobs, "versions/ver_1", manifest).chunks())

    assert packed == b"".join(archive(FILES).chunks())
