"""The local copies, where several servers share them and any of them may die."""

import os
import time
from pathlib import Path

from service.hotswap.vllm_plugin.lethe import File, Version
from service.hotswap.vllm_plugin.shelf import Record, Shelf

VERSION = Version("bot@v1", "ready", "sha256:ab", {"adapter_config.json": File("00", 1)})


def test_what_is_known_of_a_version_survives(tmp_path: Path) -> None:
    record = Record(VERSION, "/base", 100.0)
    Shelf(tmp_path / "cache").confirm(record)
    assert Shelf(tmp_path / "cache").record("bot@v1") == record
    assert list(Shelf(tmp_path / "cache").records()) == [record]


def test_a_tombstone_stays(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "cache")
    shelf.confirm(Record(VERSION, "/base", 100.0))
    shelf.withdraw("bot@v1")
    shelf.confirm(Record(VERSION, "/base", 200.0))
    known = shelf.record("bot@v1")
    assert known is not None
    assert known.withdrawn


def test_a_version_that_was_never_here_needs_no_tombstone(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "cache")
    shelf.withdraw("bot@v1")
    assert shelf.record("bot@v1") is None


def test_a_damaged_record_counts_as_withdrawn(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "cache")
    shelf.confirm(Record(VERSION, "/base", 100.0))
    (tmp_path / "cache" / "versions" / "bot@v1.json").write_text("{}")
    known = shelf.record("bot@v1")
    assert known is not None
    assert known.withdrawn


def test_other_users_of_the_machine_cannot_read_the_copies(tmp_path: Path) -> None:
    Shelf(tmp_path / "cache").confirm(Record(VERSION, "/base", 100.0))
    assert (tmp_path / "cache").stat().st_mode & 0o077 == 0


def test_what_died_half_done_is_deleted_but_not_what_is_under_way(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "cache")
    with shelf.draft() as dead, shelf.draft() as busy:
        for draft in (dead, busy):
            draft.mkdir()
            (draft / "adapter_model.safetensors").write_bytes(b"weights")
        yesterday = time.time() - 86_400
        os.utime(dead, (yesterday, yesterday))
        shelf.delete_stale_drafts()
        assert not dead.exists()
        assert busy.exists()
