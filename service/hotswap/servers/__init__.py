"""Inference servers over HTTP, one module a kind."""

from collections.abc import Callable, Mapping

from service.domain.serving import ServerKind
from service.hotswap.servers.contract import AdapterRefused, NotVisible, Server, ServerAway, ServerError, ServerRefused
from service.hotswap.servers.http import Http
from service.hotswap.servers.sglang import Sglang
from service.hotswap.servers.vllm import Vllm

__all__ = [
    "AdapterRefused",
    "NotVisible",
    "Server",
    "ServerAway",
    "ServerError",
    "ServerRefused",
    "connect",
]

_KINDS: Mapping[ServerKind, Callable[[Http], Server]] = {ServerKind.vllm: Vllm, ServerKind.sglang: Sglang}


def connect(kind: ServerKind, url: str, api_key: str | None = None) -> Server:
    """A connection to one replica. Nothing is sent yet."""
    return _KINDS[kind](Http(url, api_key))
