"""The compose file: it names real settings and real files, keeps secrets out, and stops processes gently."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE.read_text())["services"]
OURS = [name for name, service in SERVICES.items() if "build" in service]


def test_these_are_the_parts_of_a_deployment() -> None:
    assert set(SERVICES) == {"postgres", "redis", "migrate", "api", "control", "sender", "worker", "worker-cpu"}


@pytest.mark.parametrize("name", OURS)
def test_every_variable_is_a_setting(name: str) -> None:
    variables = {key for key in SERVICES[name]["environment"] if key.startswith(PREFIX)}
    assert variables
    assert variables <= {PREFIX + field.upper() for field in Settings.model_fields}


def test_no_secret_has_a_default() -> None:
    for secret in ("POSTGRES_PASSWORD", "REDIS_PASSWORD", "LETHE_MASTER_KEY", "LETHE_ADMIN_KEY"):
        uses = re.findall(rf"\$\{{{secret}([^}}]*)\}}", COMPOSE.read_text())
        assert uses
        assert set(uses) == {":?"}, secret


@pytest.mark.parametrize("name", SERVICES)
def test_no_process_can_change_its_own_image_or_gain_rights(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert "/tmp" in service["tmpfs"]


@pytest.mark.parametrize("name", sorted(set(SERVICES) - set(OURS)))
def test_no_process_of_others_runs_as_root(name: str) -> None:
    """Ours do not by their images (test_images.py)."""
    assert SERVICES[name]["user"] == name


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"migrate"}))
def test_everything_that_stays_is_probed(name: str) -> None:
    probe = SERVICES[name]["healthcheck"]
    assert probe["test"][0] in ("CMD", "CMD-SHELL")
    assert probe["interval"]
    if name in ("control", "sender", "worker", "worker-cpu"):
        assert probe["test"][3:5] == ["service.liveness", SERVICES[name]["environment"]["LETHE_LIVENESS_DIR"]]


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"migrate"}))
def test_what_ends_is_started_again(name: str) -> None:
    assert SERVICES[name]["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", ["api", "control", "sender", "worker", "worker-cpu"])
def test_nothing_starts_before_the_schema_is_there(name: str) -> None:
    assert SERVICES[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}


@pytest.mark.parametrize("name", ["worker", "worker-cpu"])
def test_a_worker_gets_longer_to_stop_than_it_takes(name: str) -> None:
    service = SERVICES[name]
    grace_s = service["environment"]["LETHE_STOP_GRACE_S"]
    assert int(service["stop_grace_period"].removesuffix("s")) > grace_s


@pytest.mark.parametrize("name", ["api", "control", "sender"])
def test_the_others_get_longer_too(name: str) -> None:
    grace_s = Settings.model_fields["stop_grace_s"].default
    assert int(SERVICES[name]["stop_grace_period"].removesuffix("s")) > grace_s


def test_an_engine_without_a_gpu_gives_way_to_the_api() -> None:
    usual = 1024
    assert SERVICES["worker-cpu"]["cpu_shares"] < SERVICES["api"].get("cpu_shares", usual)


def test_the_journal_is_where_the_blobs_are_unless_said_otherwise() -> None:
    assert SERVICES["control"]["environment"]["LETHE_JOURNAL_URL"].endswith(
        SERVICES["control"]["environment"]["LETHE_BLOB_URL"].removeprefix("${LETHE_BLOB_URL") + "}"
    )


@pytest.mark.parametrize("name", OURS)
def test_its_image_is_built_from_files_that_the_build_may_see(name: str) -> None:
    admitted = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    dockerfile = ROOT / SERVICES[name]["build"]["dockerfile"]
    for instruction in re.findall(r"^COPY (?!--)(.+)$", dockerfile.read_text(), re.MULTILINE):
        *sources, _ = instruction.split()
        assert set(sources) <= admitted
        assert all((ROOT / source).exists() for source in sources)


def test_redis_keeps_what_it_is_told_and_evicts_nothing() -> None:
    lines = (ROOT / "docker" / "redis.conf").read_text().splitlines()
    assert {"appendonly yes", "appendfsync everysec", "maxmemory-policy noeviction"} <= set(lines)


def _compose_command() -> list[str] | None:
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]) and not subprocess.run([*command, "version"], capture_output=True).returncode:
            return command
    return None


@pytest.mark.skipif(_compose_command() is None, reason="there is no docker compose here")
def test_docker_compose_accepts_it() -> None:
    command = _compose_command()
    assert command is not None
    secrets = ("POSTGRES_PASSWORD", "REDIS_PASSWORD", "LETHE_MASTER_KEY", "LETHE_ADMIN_KEY")
    result = subprocess.run(
        [*command, "-f", COMPOSE, "--profile", "gpu", "--profile", "cpu", "config"],
        env=dict.fromkeys(secrets, "x") | {"PATH": "/usr/local/bin:/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert yaml.safe_load(result.stdout)["services"].keys() == SERVICES.keys()
