"""The entry point, against as much of vLLM as it touches."""

import asyncio
import logging
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from service.hotswap.vllm_plugin import register as plugin

PACKAGE = Path(plugin.__file__).parent


@dataclass
class LoRARequest:
    lora_name: str
    lora_int_id: int
    lora_path: str


class LoRAResolver:
    pass


class Registry:
    def __init__(self) -> None:
        self.resolvers: dict[str, Any] = {}

    def get_supported_resolvers(self) -> set[str]:
        return set(self.resolvers)

    def register_resolver(self, name: str, resolver: Any) -> None:
        assert name not in self.resolvers
        self.resolvers[name] = resolver


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Registry:
    registry = Registry()
    contents: dict[str, dict[str, Any]] = {
        "vllm": {},
        "vllm.lora": {},
        "vllm.lora.request": {"LoRARequest": LoRARequest},
        "vllm.lora.resolver": {"LoRAResolver": LoRAResolver, "LoRAResolverRegistry": registry},
    }
    for name, members in contents.items():
        module = ModuleType(name)
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setenv("LETHE_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("LETHE_API_KEY", "key")
    monkeypatch.setenv("LETHE_VLLM_CACHE", str(tmp_path / "cache"))
    return registry


def test_registering_again_changes_nothing(registry: Registry) -> None:
    plugin.register()
    first = registry.resolvers["lethe"]
    plugin.register()
    assert registry.resolvers == {"lethe": first}
    assert isinstance(first, LoRAResolver)


def test_registering_touches_no_disk_and_no_network(registry: Registry, tmp_path: Path) -> None:
    plugin.register()
    assert not (tmp_path / "cache").exists()


def test_what_cannot_be_resolved_is_none_and_no_exception(registry: Registry) -> None:
    plugin.register()
    resolver = registry.resolvers["lethe"]
    assert asyncio.run(resolver.resolve_lora("base", "bot@v1")) is None
    assert asyncio.run(resolver.resolve_lora("base", "\0" * 100_000)) is None


def test_without_a_deployment_there_is_no_resolver(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LETHE_URL")
    plugin.register()
    assert not registry.resolvers


def test_a_wrong_setting_is_logged_and_the_server_starts_without_a_resolver(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("LETHE_VLLM_LEASE_S", "soon")
    with caplog.at_level(logging.ERROR):
        plugin.register()
    assert not registry.resolvers
    assert "LETHE_VLLM_LEASE_S" in caplog.text


def test_vllm_finds_it_by_its_entry_point() -> None:
    project = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["vllm.general_plugins"] == {"lethe": "lethe_vllm.register:register"}


def test_it_loads_neither_torch_nor_anything_else_of_lethe() -> None:
    code = "import service.hotswap.vllm_plugin.register, sys; print(*sorted(sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PACKAGE.parents[2]
    )
    loaded = set(result.stdout.split())
    assert not {"torch", "transformers", "httpx", "pydantic", "sqlalchemy"} & loaded
    ours = {name for name in loaded if name.startswith("service.")}
    assert {name for name in ours if not name.startswith("service.hotswap.vllm_plugin")} == {"service.hotswap"}


def test_every_setting_is_in_the_readme() -> None:
    readme = (PACKAGE / "README.md").read_text()
    names = {word for word in (PACKAGE / "settings.py").read_text().split('"') if word.startswith("LETHE_")}
    assert {name for name in names if name.isupper() and f"`{name}`" not in readme} == set()
