"""What the environment says. Nothing here reaches out; a server without `LETHE_URL` is left alone."""

import ipaddress
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit


class Misconfigured(ValueError):
    """A variable is missing or impossible; the message names it and the fix."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How to reach Lethe, and what may be served from it.

    `lines` and `bases` None: every line that the key sees; the base model by the name vLLM was started with.
    """

    url: str
    api_key: str = field(repr=False)
    cache: Path
    max_bytes: int
    lease_s: float
    poll_s: float
    lines: frozenset[str] | None
    bases: frozenset[str] | None
    aliases: bool


def read_settings(environment: Mapping[str, str]) -> Settings | None:
    """The settings; None without `LETHE_URL`.

    Raises:
        Misconfigured: see there.
    """
    url = environment.get("LETHE_URL", "").rstrip("/")
    if not url:
        return None
    allow_http = _switch(environment, "LETHE_VLLM_ALLOW_HTTP")
    api_key = environment.get("LETHE_API_KEY", "")
    if not (api_key.isascii() and api_key.isprintable() and api_key.strip()):
        raise Misconfigured("LETHE_API_KEY is not set. Give it a key with the scopes adapters:read and events:read.")
    return Settings(
        url=_checked(url, allow_http=allow_http),
        api_key=api_key.strip(),
        cache=Path(environment.get("LETHE_VLLM_CACHE") or Path.home() / ".cache" / "lethe-vllm").expanduser(),
        max_bytes=int(_number(environment, "LETHE_VLLM_MAX_BYTES", 2 * 2**30)),
        lease_s=_number(environment, "LETHE_VLLM_LEASE_S", 300),
        poll_s=_number(environment, "LETHE_VLLM_POLL_S", 5),
        lines=_listed(environment, "LETHE_VLLM_LINES"),
        bases=_listed(environment, "LETHE_VLLM_BASE"),
        aliases=_switch(environment, "LETHE_VLLM_ALIASES"),
    )


def _checked(url: str, *, allow_http: bool) -> str:
    """Digests are worth what the connection is worth over which they came."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Misconfigured("LETHE_URL is no http(s) URL.")
    if parts.scheme == "http" and not allow_http and not _is_loopback(parts.hostname):
        raise Misconfigured("LETHE_URL is not https. Set LETHE_VLLM_ALLOW_HTTP=1 if the network can be trusted.")
    return url


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _switch(environment: Mapping[str, str], name: str) -> bool:
    value = environment.get(name, "")
    if value not in ("", "0", "1"):
        raise Misconfigured(f"{name} is neither 0 nor 1.")
    return value == "1"


def _number(environment: Mapping[str, str], name: str, default: float) -> float:
    try:
        value = float(environment.get(name) or default)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise Misconfigured(f"{name} is not a positive number.")
    return value


def _listed(environment: Mapping[str, str], name: str) -> frozenset[str] | None:
    """Values between commas; None if there are none."""
    return frozenset(part.strip() for part in environment.get(name, "").split(",") if part.strip()) or None
