"""The embedded Redis server: found, private, durable, and never left behind."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from service.cli.processes import Guardian
from service.cli.redis_server import OLDEST_VERSION, RedisUnavailable, find_redis_server, start_redis
from tests.support.waiting import runs, wait_until

pytestmark = pytest.mark.slow


def test_it_answers_with_the_promised_configuration(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        config = client.config_get("*")
        assert config["appendonly"] == "yes"
        assert config["appendfsync"] == "everysec"
        assert config["maxmemory-policy"] == "noeviction"
        assert config["port"] == "0"
        major, minor, _ = map(int, client.info("server")["redis_version"].split("."))
    assert (major, minor) >= OLDEST_VERSION


def test_what_it_was_told_survives_a_kill_and_a_restart(tmp_path: Path, guardian: Guardian) -> None:
    socket = tmp_path / "redis.sock"

    first = start_redis(directory=tmp_path, socket=socket, log=tmp_path / "log", guardian=guardian)
    with redis.Redis(unix_socket_path=str(socket)) as client:
        client.set("hint", "run_1")
    first.stop(grace_s=0)
    second = start_redis(directory=tmp_path, socket=socket, log=tmp_path / "log", guardian=guardian)
    with redis.Redis(unix_socket_path=str(socket)) as client:
        assert client.get("hint") == b"run_1"
    assert second.stop(grace_s=5) == 0


def test_a_server_that_cannot_start_says_why(tmp_path: Path, guardian: Guardian) -> None:
    (tmp_path / "appendonly.aof").write_text("not an append-only file")
    with pytest.raises(RedisUnavailable, match="append"):
        start_redis(directory=tmp_path, socket=tmp_path / "s", log=tmp_path / "log", guardian=guardian)


def test_a_socket_directory_that_others_may_enter_is_refused(tmp_path: Path, guardian: Guardian) -> None:
    tmp_path.chmod(0o755)
    with pytest.raises(RedisUnavailable, match="open to other users"):
        start_redis(directory=tmp_path, socket=tmp_path / "s", log=tmp_path / "log", guardian=guardian)


def test_a_binary_that_is_too_old_or_broken_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "redis-server"
    old.write_text("#!/bin/sh\necho 'Redis server v=5.0.7 sha=0:0'\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert find_redis_server() != old


def test_it_does_not_outlive_a_killed_owner(tmp_path: Path) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path)], stdout=subprocess.PIPE, cwd=Path(__file__).parents[3]
    )
    assert owner.stdout is not None
    pid = int(owner.stdout.readline())
    assert runs(pid)
    owner.kill()
    owner.communicate()
    wait_until(lambda: not runs(pid))


OWNER = """
import sys, time
from pathlib import Path
from service.cli.processes import Guardian
from service.cli.redis_server import start_redis
place = Path(sys.argv[1])
guardian = Guardian(grace_s=5)
server = start_redis(directory=place, socket=place / "redis.sock", log=place / "log", guardian=guardian)
print(server.pid, flush=True)
time.sleep(60)
"""
