"""Archives for download: equal files give equal bytes, of a known length, which stock programs unpack."""

import gzip
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from service.domain.errors import Corrupted, InvalidInput
from service.store.archives.extract import extract_adapter
from service.store.archives.formats import ArchiveFormat, archive_of_tree
from service.store.archives.write import Archive, Member
from service.store.archives.write_tar import Tar, TarGz
from service.store.archives.write_zip import Zip
from service.store.blobs import Blobs

Make = Callable[[Iterable[Member]], Archive]

FILES = {
    "adapter_model.safetensors": bytes(range(256)) * 1000,
    "adapter_config.json": b"{}",
    "empty": b"",
    "exactly_a_block": b"x" * 512,
}
# A change of these bytes breaks the strong ETags that clients hold: it needs a new ETag scheme.
DIGESTS = {
    TarGz: "23a3ed76bbc2f932ba83831b7bee0029b02be0b74572f712bb483b2352d2c804",
    Tar: "af15329556321d44ae02307b2dc15a03acc5c021a3fc855e652473cfc6fcb46c",
    Zip: "2734aeafd58bef72c24a73a2f017230ec6832337184431cb619cd8218c1f2666",
}
FORMATS = pytest.mark.parametrize("make", DIGESTS)


def member(name: str, data: bytes) -> Member:
    return Member(name, len(data), lambda: io.BytesIO(data))


def archive(make: Make, files: dict[str, bytes]) -> Archive:
    return make(member(name, data) for name, data in files.items())


def packed(make: Make, files: dict[str, bytes]) -> bytes:
    return b"".join(archive(make, files).chunks())


def unpacked(make: Make, data: bytes) -> dict[str, bytes]:
    """By the standard library, which verifies checksums."""
    if make is Zip:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            assert archive.testzip() is None
            return {name: archive.read(name) for name in archive.namelist()}
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(data) if make is TarGz else data)) as tar:
        return {m.name: content.read() for m in tar if (content := tar.extractfile(m)) is not None}


@FORMATS
def test_a_stock_program_unpacks_it(tmp_path: Path, make: Make) -> None:
    (tmp_path / "archive").write_bytes(packed(make, FILES))
    unzip = [sys.executable, "-m", "zipfile", "-e", "archive", "."]
    command = {TarGz: ["tar", "xzf", "archive"], Tar: ["tar", "xf", "archive"], Zip: unzip}[make]

    subprocess.run(command, cwd=tmp_path, check=True)

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.name != "archive"} == FILES


@FORMATS
def test_so_does_an_import(tmp_path: Path, make: Make) -> None:
    files = {name: FILES[name] for name in ("adapter_config.json", "adapter_model.safetensors")}
    (tmp_path / "archive").write_bytes(packed(make, files))

    extract_adapter(tmp_path / "archive", tmp_path / "adapter")

    assert {path.name: path.read_bytes() for path in (tmp_path / "adapter").iterdir()} == files


@FORMATS
def test_the_bytes_depend_on_the_files_alone(make: Make) -> None:
    forward, backward = packed(make, FILES), packed(make, dict(reversed(FILES.items())))

    assert forward == backward
    assert list(unpacked(make, forward)) == sorted(FILES)
    assert hashlib.sha256(forward).hexdigest() == DIGESTS[make]


@pytest.mark.parametrize("make", [Tar, TarGz])
def test_a_tar_carries_no_trace_of_time_or_machine(make: Make) -> None:
    with tarfile.open(fileobj=io.BytesIO(packed(make, FILES))) as tar:
        members = tar.getmembers()

    assert {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode) for m in members} == {(0, 0, 0, "", "", 0o644)}


def test_nor_does_a_zip() -> None:
    with zipfile.ZipFile(io.BytesIO(packed(Zip, FILES))) as archive:
        members = archive.infolist()

    assert {(m.date_time, m.create_system, m.extra, m.comment) for m in members} == {
        ((1980, 1, 1, 0, 0, 0), 3, b"", b"")
    }
    assert {m.external_attr >> 16 for m in members} == {0o100644}


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 62_975, 63_487, 65_535, 65_536, 131_070, 3_000_000])
@FORMATS
def test_its_length_is_known_beforehand(make: Make, size: int) -> None:
    data = os.urandom(size)
    whole = archive(make, {"file": data})
    written = b"".join(whole.chunks())

    assert len(written) == whole.size
    assert unpacked(make, written) == {"file": data}


@FORMATS
def test_packing_adds_little(make: Make) -> None:
    assert archive(make, {"file": bytes(10_000_000)}).size < 10_000_000 * 1.001


@FORMATS
def test_any_range_is_a_slice_of_the_whole(make: Make) -> None:
    whole = packed(make, FILES)
    end = len(whole)

    for start, stop in [(0, 1), (5, 20), (0, None), (100_000, 100_001), (end - 8, None), (7, 10**9), (9, 9)]:
        assert b"".join(archive(make, FILES).chunks(start=start, stop=stop)) == whole[start:stop]


@FORMATS
def test_a_file_of_another_length_than_stated_breaks_off_instead_of_ending_well(make: Make) -> None:
    for stated in (3, 5):
        with pytest.raises(Corrupted):
            list(make([Member("file", stated, lambda: io.BytesIO(b"four"))]).chunks())


def test_a_zip_from_4_gib_on_is_refused_before_anything_is_read() -> None:
    with pytest.raises(InvalidInput) as caught:
        Zip([Member("file", 2**32, lambda: pytest.fail("was opened"))])

    assert caught.value.code == "too-large-for-zip"
    assert Tar([Member("file", 2**32, lambda: pytest.fail("was opened"))]).size > 2**32


def test_a_stored_tree_is_packed_from_the_store(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name, data in FILES.items():
        (source / name).write_bytes(data)
    blobs = Blobs(f"file://{tmp_path}/blobs")
    manifest = blobs.put_tree(source, "versions/ver_1")

    for kind, make in ((ArchiveFormat.tar_gz, TarGz), (ArchiveFormat.tar, Tar), (ArchiveFormat.zip, Zip)):
        stored = archive_of_tree(blobs, "versions/ver_1", manifest, kind)
        assert b"".join(stored.chunks()) == packed(make, FILES)
