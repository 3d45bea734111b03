import base64
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service.domain.errors import InvalidInput
from service.evidence.master_key import load_master_key

KEY = bytes(range(32))


def test_the_setting_wins_and_writes_no_file(tmp_path: Path) -> None:
    assert load_master_key(base64.b64encode(KEY).decode(), tmp_path) == KEY
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("setting", ["", "not base64!", "AAAA", base64.b64encode(bytes(33)).decode(), "ü" * 44])
def test_a_malformed_setting_is_refused_without_being_repeated(tmp_path: Path, setting: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        load_master_key(setting, tmp_path)

    assert caught.value.code == "master-key-malformed"
    assert caught.value.field == "LETHE_MASTER_KEY"
    assert not setting or setting not in str(caught.value)


def test_without_a_setting_a_key_is_made_once_for_the_owner_alone(tmp_path: Path) -> None:
    key = load_master_key(None, tmp_path / "home")
    path = tmp_path / "home" / "keys" / "master.key"

    assert len(key) == 32
    assert load_master_key(None, tmp_path / "home") == key
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [entry.name for entry in path.parent.iterdir()] == ["master.key"]


def test_processes_that_start_together_agree_on_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        keys = set(pool.map(lambda _: load_master_key(None, tmp_path), range(64)))

    assert len(keys) == 1


def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    load_master_key(None, tmp_path)
    (tmp_path / "keys" / "master.key").chmod(0o644)

    with pytest.raises(InvalidInput) as caught:
        load_master_key(None, tmp_path)

    assert caught.value.code == "master-key-exposed"
    assert "chmod 600" in (caught.value.fix or "")


def test_a_damaged_key_file_is_refused_rather_than_replaced(tmp_path: Path) -> None:
    load_master_key(None, tmp_path)
    path = tmp_path / "keys" / "master.key"
    for damage in (b"garbage", b"\xff" * 44):
        path.write_bytes(damage)
        with pytest.raises(InvalidInput) as caught:
            load_master_key(None, tmp_path)
        assert caught.value.code == "master-key-malformed"
        assert path.read_bytes() == damage


def test_two_homes_have_two_keys(tmp_path: Path) -> None:
    assert load_master_key(None, tmp_path / "a") != load_master_key(None, tmp_path / "b")


def test_a_reader_makes_no_key(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        load_master_key(None, tmp_path, may_create=False)

    assert caught.value.code == "master-key-missing"
    assert not list(tmp_path.iterdir())
