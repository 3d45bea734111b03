import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service.domain.errors import Corrupted, NotFound, Shredded
from service.store.blobs import Blobs
from service.store.local_cache import LocalCache

KEY = bytes(range(32))


def unsealed(prefix: str) -> None:
    """The keys of trees that are stored as they are."""


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(f"file://{tmp_path}/blobs")


@pytest.fixture
def cache(blobs: Blobs, tmp_path: Path) -> LocalCache:
    return LocalCache(tmp_path / "cache", blobs, unsealed)


def store(blobs: Blobs, tmp_path: Path, prefix: str, text: str = "weights") -> None:
    source = tmp_path / "sources" / prefix
    source.mkdir(parents=True)
    (source / "file").write_text(text)
    blobs.put_tree(source, prefix)


def test_a_tree_is_fetched_once_and_then_kept(blobs: Blobs, cache: LocalCache, tmp_path: Path) -> None:
    store(blobs, tmp_path, "line/v1")

    first = cache.materialise("line/v1")
    inode = (first / "file").stat().st_ino
    second = LocalCache(tmp_path / "cache", blobs, unsealed).materialise("line/v1")

    assert (first / "file").read_text() == "weights"
    assert second == first
    assert (second / "file").stat().st_ino == inode


def test_trees_do_not_mix_even_when_one_prefix_continues_another(
    blobs: Blobs, cache: LocalCache, tmp_path: Path
) -> None:
    store(blobs, tmp_path, "a/b", "inner")
    (tmp_path / "outer").mkdir()
    (tmp_path / "outer" / "file").write_text("outer")
    blobs.put_tree(tmp_path / "outer", "a")

    assert (cache.materialise("a/b") / "file").read_text() == "inner"
    assert (cache.materialise("a") / "file").read_text() == "outer"
    assert [path.name for path in cache.materialise("a").iterdir()] == ["file"]


def test_an_unknown_tree_is_reported_and_leaves_nothing(cache: LocalCache, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        cache.materialise("nothing")

    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_damaged_tree_never_enters_the_cache(blobs: Blobs, cache: LocalCache, tmp_path: Path) -> None:
    store(blobs, tmp_path, "line/v1")
    (tmp_path / "blobs" / "line" / "v1" / "file").write_text("WEIGHTS")

    with pytest.raises(Corrupted):
        cache.materialise("line/v1")

    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_workers_that_ask_at_once_get_one_complete_copy(blobs: Blobs, cache: LocalCache, tmp_path: Path) -> None:
    store(blobs, tmp_path, "line/v1", "x" * 100_000)

    def read(_: int) -> str:
        return (cache.materialise("line/v1") / "file").read_text()

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(read, range(64))) == {"x" * 100_000}
    assert not list((tmp_path / "cache" / ".drafts").iterdir())


def test_evicting_a_prefix_removes_every_tree_under_it_and_no_other(
    blobs: Blobs, cache: LocalCache, tmp_path: Path
) -> None:
    for prefix in ("line/v1", "line/v2", "line2/v1"):
        store(blobs, tmp_path, prefix)
        cache.materialise(prefix)

    cache.evict("line")
    cache.evict("line")

    left = [path.relative_to(tmp_path / "cache") for path in (tmp_path / "cache").rglob("file")]
    assert left == [Path("line2/v1/.tree/file")]


@pytest.mark.parametrize("prefix", ["..", "../blobs", "/etc", ""])
def test_evicting_cannot_leave_the_cache(cache: LocalCache, prefix: str) -> None:
    with pytest.raises(ValueError, match="legal"):
        cache.evict(prefix)


def test_a_tree_deleted_from_the_store_is_not_handed_out_any_more(
    blobs: Blobs, cache: LocalCache, tmp_path: Path
) -> None:
    store(blobs, tmp_path, "line/v1")
    directory = cache.materialise("line/v1")
    blobs.delete_tree("line/v1")

    with pytest.raises(NotFound):
        cache.materialise("line/v1")

    assert not directory.exists()


def test_a_sweep_removes_what_the_store_has_deleted_and_what_crashes_left(
    blobs: Blobs, cache: LocalCache, tmp_path: Path
) -> None:
    for prefix in ("line/v1", "line/v2"):
        store(blobs, tmp_path, prefix)
        cache.materialise(prefix)
    blobs.delete_tree("line/v1")
    crashed = tmp_path / "cache" / ".drafts" / "crashed"
    crashed.mkdir()
    os.utime(crashed, (time.time() - 90_000,) * 2)

    assert cache.sweep() == 1
    assert cache.sweep() == 0
    assert not crashed.exists()
    assert [path.parts[-3] for path in (tmp_path / "cache").rglob("file")] == ["v2"]


class TestSealed:
    @pytest.fixture
    def keys(self, blobs: Blobs, tmp_path: Path) -> dict[str, bytes]:
        """The key of a stored tree; the cache misses it once it is taken out."""
        (tmp_path / "source").mkdir()
        (tmp_path / "source" / "file").write_text("weights")
        blobs.put_tree(tmp_path / "source", "line/v1", key=KEY)
        return {"line/v1": KEY}

    @pytest.fixture
    def cache(self, blobs: Blobs, tmp_path: Path, keys: dict[str, bytes]) -> LocalCache:
        def key_of(prefix: str) -> bytes:
            if prefix not in keys:
                raise Shredded("The key was destroyed.")
            return keys[prefix]

        return LocalCache(tmp_path / "cache", blobs, key_of)

    def test_it_is_plain_in_the_cache_alone(self, cache: LocalCache, tmp_path: Path) -> None:
        assert (cache.materialise("line/v1") / "file").read_text() == "weights"
        assert b"weights" not in (tmp_path / "blobs" / "line" / "v1" / "file").read_bytes()
        assert cache.prefixes() == ["line/v1"]

    def test_without_its_key_it_is_not_handed_out_even_if_it_is_here(
        self, cache: LocalCache, keys: dict[str, bytes]
    ) -> None:
        cache.materialise("line/v1")
        keys.clear()
        with pytest.raises(Shredded):
            cache.materialise("line/v1")

    def test_with_another_key_it_never_enters_the_cache(
        self, cache: LocalCache, keys: dict[str, bytes], tmp_path: Path
    ) -> None:
        keys["line/v1"] = bytes(32)
        with pytest.raises(Corrupted):
            cache.materialise("line/v1")
        assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
