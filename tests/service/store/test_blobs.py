"""The same promises on a directory, on an object store in memory, and on S3's protocol where it can be tested."""

import hashlib
import os
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread

import fsspec
import pytest

from service.domain.errors import Conflict, Corrupted, NotFound
from service.store import durable
from service.store.blobs import Blobs
from service.store.digests import Copy
from tests.support.s3 import use_s3

KEY = bytes(range(32))
MEBIBYTE = 1 << 20


@pytest.fixture(params=["file", "memory", pytest.param("s3", marks=pytest.mark.slow)])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    bucket = uuid.uuid4().hex
    if request.param == "file":
        yield f"file://{tmp_path}/blobs"
    elif request.param == "memory":
        yield f"memory://{bucket}"
        fsspec.filesystem("memory").store.clear()
    else:
        use_s3(monkeypatch, request.getfixturevalue("s3_endpoint"), bucket)
        yield f"s3://{bucket}/prod"


@pytest.fixture
def blobs(url: str) -> Blobs:
    return Blobs(url)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    directory = tmp_path / "tree"
    (directory / "sub").mkdir(parents=True)
    (directory / "weights.bin").write_bytes(os.urandom(3_000_000))
    (directory / "sub" / "config.json").write_text("{}")
    (directory / "empty").touch()
    return directory


def test_a_stored_file_is_found_again_by_another_process(blobs: Blobs, url: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"hello")

    digest = blobs.put_file(source, "uploads/a@v1/file.tar.gz")

    assert digest == {"sha256": hashlib.sha256(b"hello").hexdigest(), "size": 5}
    other = Blobs(url)
    assert other.exists("uploads/a@v1/file.tar.gz")
    assert other.size("uploads/a@v1/file.tar.gz") == 5
    with other.open("uploads/a@v1/file.tar.gz") as file:
        assert file.read() == b"hello"


def test_a_directory_is_not_a_blob(blobs: Blobs, tree: Path) -> None:
    blobs.put_tree(tree, "t")

    assert not blobs.exists("t")
    assert not blobs.exists("t/sub")


def test_absent_blobs_and_trees_are_reported_as_such(blobs: Blobs, tmp_path: Path) -> None:
    assert not blobs.exists("nothing")
    assert not blobs.exists_tree("nothing")
    for call in (
        lambda: blobs.size("nothing"),
        lambda: blobs.open("nothing"),
        lambda: list(blobs.chunks("nothing")),
        lambda: blobs.manifest("nothing"),
        lambda: blobs.get_tree("nothing", tmp_path / "out"),
    ):
        with pytest.raises(NotFound):
            call()
    blobs.delete("nothing")
    blobs.delete_tree("nothing")


@pytest.mark.parametrize(
    "key", ["", "/a", "a/", "a//b", "../a", "a/../b", ".", "a/.hidden", ".drafts/x", "a b", "a\n", "ä", "a\\b", "a\0"]
)
def test_keys_that_could_leave_the_store_or_clash_with_its_own_files_are_refused(blobs: Blobs, key: str) -> None:
    with pytest.raises(ValueError, match="legal"):
        blobs.exists(key)
    with pytest.raises(ValueError, match="legal"):
        blobs.delete_tree(key)


@pytest.mark.parametrize(
    ("start", "stop", "expected"),
    [
        (0, None, slice(None)),
        (5, None, slice(5, None)),
        (0, 1, slice(0, 1)),
        (2_000_000, 2_000_003, slice(-3, None)),
        (7, 1_500_000, slice(7, 1_500_000)),
        (5, 5, slice(0, 0)),
        (2_000_003, None, slice(0, 0)),
    ],
)
def test_ranges_are_read_in_pieces_of_at_most_a_megabyte(
    blobs: Blobs, tmp_path: Path, start: int, stop: int | None, expected: slice
) -> None:
    data = os.urandom(2_000_003)
    (tmp_path / "source").write_bytes(data)
    blobs.put_file(tmp_path / "source", "blob")

    chunks = list(blobs.chunks("blob", start=start, stop=stop))

    assert b"".join(chunks) == data[expected]
    assert all(0 < len(chunk) <= 1 << 20 for chunk in chunks)


def test_a_tree_comes_back_as_it_was(blobs: Blobs, tree: Path, tmp_path: Path) -> None:
    manifest = blobs.put_tree(tree, "versions/ver_1")

    assert set(manifest) == {"weights.bin", "sub/config.json", "empty"}
    assert blobs.manifest("versions/ver_1") == manifest
    assert blobs.get_tree("versions/ver_1", tmp_path / "out") == manifest
    for name, digest in manifest.items():
        data = (tmp_path / "out" / name).read_bytes()
        assert data == (tree / name).read_bytes()
        assert digest == {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    assert not list((tmp_path / "out").rglob(".*"))


def test_a_sealed_tree_shows_no_content_and_comes_back_with_its_key(blobs: Blobs, tree: Path, tmp_path: Path) -> None:
    manifest = blobs.put_tree(tree, "t", key=KEY)

    assert blobs.get_tree("t", tmp_path / "stored") == manifest
    assert blobs.get_tree("t", tmp_path / "out", key=KEY) == manifest
    for name in manifest:
        assert (tmp_path / "out" / name).read_bytes() == (tree / name).read_bytes()
    assert (tree / "weights.bin").read_bytes()[:100] not in (tmp_path / "stored" / "weights.bin").read_bytes()


def swap(blobs: Blobs, tmp_path: Path) -> None:
    """Two files and their entries in the manifest."""
    directory = tmp_path / "stored"
    manifest = blobs.get_tree("t", directory)
    blobs.delete_tree("t")
    (directory / "weights.bin").rename(directory / "empty.was")
    (directory / "empty").rename(directory / "weights.bin")
    (directory / "empty.was").rename(directory / "empty")
    assert blobs.put_tree(directory, "t")["empty"] == manifest["weights.bin"]


def cut(blobs: Blobs, tmp_path: Path) -> None:
    """The last piece of a file off, and the manifest to match."""
    directory = tmp_path / "stored"
    blobs.get_tree("t", directory)
    blobs.delete_tree("t")
    data = (directory / "weights.bin").read_bytes()
    (directory / "weights.bin").write_bytes(data[: 17 + 2 * (MEBIBYTE + 16)])
    blobs.put_tree(directory, "t")


@pytest.mark.parametrize("tamper", [swap, cut])
def test_who_can_write_the_store_cannot_change_what_is_sealed(
    blobs: Blobs, tree: Path, tmp_path: Path, tamper: Callable[[Blobs, Path], None]
) -> None:
    blobs.put_tree(tree, "t", key=KEY)
    tamper(blobs, tmp_path)

    with pytest.raises(Corrupted):
        blobs.get_tree("t", tmp_path / "out", key=KEY)


def test_a_tree_is_never_overwritten(blobs: Blobs, tree: Path) -> None:
    blobs.put_tree(tree, "t")

    with pytest.raises(Conflict):
        blobs.put_tree(tree, "t")


def test_a_deleted_tree_leaves_nothing_and_its_neighbour_stays(blobs: Blobs, tree: Path) -> None:
    manifest = blobs.put_tree(tree, "versions/ver_1")
    blobs.put_tree(tree, "versions/ver_10")

    blobs.delete_tree("versions/ver_1")

    assert not blobs.exists_tree("versions/ver_1")
    assert not any(blobs.exists(f"versions/ver_1/{name}") for name in manifest)
    assert blobs.exists_tree("versions/ver_10")


def test_a_tree_does_not_exist_until_its_manifest_is_written(
    blobs: Blobs, tree: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A crash after any of the files: nobody sees a tree, and storing it again completes it."""
    put = Blobs._put
    for survivors in range(4):
        left = iter(range(survivors))

        def crash(self: Blobs, source: Path, path: str, copy: Copy, left: Iterator[int] = left) -> object:
            if next(left, None) is None:
                raise KeyboardInterrupt
            return put(self, source, path, copy)

        monkeypatch.setattr(Blobs, "_put", crash)
        with pytest.raises(KeyboardInterrupt):
            blobs.put_tree(tree, "t")
        assert not blobs.exists_tree("t")
    monkeypatch.undo()

    blobs.put_tree(tree, "t")
    blobs.get_tree("t", tmp_path / "out")


@pytest.mark.parametrize("damage", ["altered", "truncated", "missing"])
def test_a_damaged_tree_is_not_handed_out(blobs: Blobs, tree: Path, tmp_path: Path, damage: str) -> None:
    blobs.put_tree(tree, "t")
    data = (tree / "weights.bin").read_bytes()
    if damage == "missing":
        blobs.delete("t/weights.bin")
    else:
        (tmp_path / "damaged").write_bytes(data[:-1] + (b"" if damage == "truncated" else bytes([data[-1] ^ 1])))
        blobs.put_file(tmp_path / "damaged", "t/weights.bin")

    with pytest.raises(Corrupted):
        blobs.get_tree("t", tmp_path / "out")


def a_link(directory: Path) -> None:
    (directory / "b").symlink_to("/etc/passwd")


def a_pipe(directory: Path) -> None:
    os.mkfifo(directory / "b")


def a_manifest(directory: Path) -> None:
    (directory / ".manifest.json").touch()


def a_space(directory: Path) -> None:
    (directory / "b c").touch()


@pytest.mark.parametrize("make", [a_link, a_pipe, a_manifest, a_space])
def test_links_and_illegal_names_are_refused_before_anything_is_stored(
    blobs: Blobs, tmp_path: Path, make: Callable[[Path], None]
) -> None:
    directory = tmp_path / "directory"
    directory.mkdir()
    (directory / "a").touch()
    make(directory)

    with pytest.raises(ValueError, match=r"legal|neither"):
        blobs.put_tree(directory, "t")

    assert not blobs.exists("t/a")


class TestOnADirectory:
    def test_a_blob_is_absent_until_it_is_whole(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        blobs = Blobs(f"file://{tmp_path}/blobs")
        (tmp_path / "source").write_bytes(b"x" * 100)
        written, go_on = Event(), Event()
        flush = durable.flush_to_disk

        def pause(file: object) -> None:
            written.set()
            assert go_on.wait(10)
            flush(file)  # type: ignore[arg-type]

        monkeypatch.setattr(durable, "flush_to_disk", pause)
        writer = Thread(target=blobs.put_file, args=(tmp_path / "source", "blob"))
        writer.start()
        assert written.wait(10)
        assert not blobs.exists("blob")
        go_on.set()
        writer.join()

        assert blobs.size("blob") == 100

    def test_a_failed_write_leaves_no_trace(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        blobs = Blobs(f"file://{tmp_path}/blobs")
        (tmp_path / "source").write_bytes(b"x")

        def full(file: object) -> None:
            raise OSError("disk full")

        monkeypatch.setattr(durable, "flush_to_disk", full)
        with pytest.raises(OSError, match="disk full"):
            blobs.put_file(tmp_path / "source", "blob")

        assert not [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]

    def test_a_write_is_flushed_before_it_is_visible_and_its_directories_after(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        blobs = Blobs(f"file://{tmp_path}/blobs")
        (tmp_path / "source").write_bytes(b"x")
        calls: list[str] = []
        target = tmp_path / "blobs" / "a" / "b" / "blob"
        fsync = os.fsync

        def record(descriptor: int) -> None:
            fsync(descriptor)
            place = Path(f"/proc/self/fd/{descriptor}").readlink()
            calls.append(f"{place.relative_to(tmp_path).parts[-1]} {target.exists()}")

        monkeypatch.setattr(os, "fsync", record)
        blobs.put_file(tmp_path / "source", "a/b/blob")

        assert calls[0].endswith(" False")
        assert calls[1:] == ["b True", "a True", "blobs True"]

    def test_drafts_of_crashed_writers_are_swept_once_they_are_old(self, tmp_path: Path) -> None:
        blobs = Blobs(f"file://{tmp_path}/blobs")
        drafts = tmp_path / "blobs" / ".drafts"
        drafts.mkdir(parents=True)
        (drafts / "old").touch()
        os.utime(drafts / "old", (time.time() - 90_000,) * 2)
        (drafts / "young").touch()

        assert blobs.sweep() == 1
        assert [path.name for path in drafts.iterdir()] == ["young"]
