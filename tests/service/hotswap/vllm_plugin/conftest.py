"""A real Lethe on a real socket, with a line of real adapters, and what the plugin is told of it."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from service.domain.scopes import Scope
from service.hotswap.vllm_plugin.resolver import Resolver
from service.hotswap.vllm_plugin.settings import Settings, read_settings
from tests.support.api import Api
from tests.support.api_server import api_server
from tests.support.lora_files import random_tensors, write_adapter
from tests.support.published import Publisher
from tests.support.vllm_double_engine import LoraRequest, write_base

MODULES = ["model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.v_proj"]


@dataclass
class World:
    """`base`: what vLLM was started with, which is also what Lethe calls the base model."""

    api: Api
    url: str
    key: str
    line: Publisher
    base: Path
    directory: Path

    def adapter(self, seed: int) -> Path:
        return write_adapter(self.directory / f"adapter-{seed}", random_tensors(self.base, seed))

    def settings(self, **environment: str) -> Settings:
        settings = read_settings(
            {
                "LETHE_URL": self.url,
                "LETHE_API_KEY": self.key,
                "LETHE_VLLM_CACHE": str(self.directory / "cache"),
                "LETHE_VLLM_POLL_S": "0.05",
                **environment,
            }
        )
        assert settings is not None
        return settings

    def resolver(self, **environment: str) -> Resolver:
        return Resolver(self.settings(**environment), lambda name, path: LoraRequest(name, 1, path))


@pytest.fixture
def world(sqlite_url: str, tmp_path: Path) -> Iterator[World]:
    api = Api(tmp_path / "home", sqlite_url)
    base = write_base(tmp_path / "base", MODULES, width=16)
    with api_server(api, api.settings) as url:
        key = api.token_of(Scope.adapters_read, Scope.events_read)
        yield World(api, url, key, Publisher(api, "bot", str(base)), base, tmp_path)
    api.store.close()


def files_below(directory: Path) -> list[str]:
    return sorted(os.path.relpath(path, directory) for path in directory.rglob("*") if path.is_file())
