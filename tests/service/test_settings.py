"""The settings: their defaults, their way into other processes, and the table in the README."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from service.settings import Settings, embedded_redis_socket, with_settings_table

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _no_lethe_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"LETHE_{name.upper()}", raising=False)
    monkeypatch.chdir(tmp_path)


def test_everything_lives_in_the_home_unless_said_otherwise(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "h")
    assert settings.database_url == f"sqlite:///{tmp_path}/h/lethe.db"
    assert settings.blob_url == f"file://{tmp_path}/h/blobs"
    assert settings.redis_url == f"unix://{tmp_path}/h/redis/redis.sock"
    assert settings.redis_is_embedded


def test_a_relative_home_is_pinned_to_the_directory_it_was_given_in(tmp_path: Path) -> None:
    assert Settings().home == tmp_path / ".lethe"


def test_the_environment_sets_every_field(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LETHE_REDIS_URL", "redis://cache:6379/0")
    monkeypatch.setenv("LETHE_LEASE_S", "90")
    settings = Settings()
    assert settings.redis_url == "redis://cache:6379/0"
    assert not settings.redis_is_embedded
    assert settings.lease_s == 90


def test_another_process_gets_exactly_the_same_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, port=9, admin_key="lethe_0123456789abcdef0123", worker_pool="gpu-80g")
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    assert Settings() == settings


def test_secrets_do_not_show_in_a_representation() -> None:
    key = "lethe_0123456789abcdef0123"
    assert key not in repr(Settings(admin_key=key, master_key="c2VjcmV0"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"port": 70_000},
        {"gpu_memory_fraction": 0.0},
        {"worker_pool": "Not A Queue"},
        {"device": "tpu"},
        {"admin_key": "short"},
        {"lease_s": 30.0, "heartbeat_s": 15.0},
        {"allow_networks": "10.0.0.1/8"},
        {"hoem": "/tmp"},
    ],
)
def test_a_wrong_value_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate(wrong)


def test_the_redis_socket_of_a_very_long_home_still_fits_a_socket_address() -> None:
    home = Path("/" + "very-long-name/" * 20)
    assert len(bytes(embedded_redis_socket(home))) < 104
    assert embedded_redis_socket(home) != embedded_redis_socket(home / "other")


def test_the_table_in_the_readme_is_the_one_in_the_code() -> None:
    readme = (ROOT / "README.md").read_text()
    assert readme == with_settings_table(readme), "run `make readme`"


def test_a_document_without_the_markers_is_not_changed_silently() -> None:
    with pytest.raises(ValueError, match="settings:begin"):
        with_settings_table("# no markers")


def test_where_clients_reach_the_api_is_told_without_a_slash_at_the_end() -> None:
    assert Settings(host="127.0.0.1", port=8080).url == "http://127.0.0.1:8080"
    assert Settings(public_url="https://lethe.example/").url == "https://lethe.example"
