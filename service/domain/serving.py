"""Inference servers that Lethe drives: what a client says about them, and when a failed push is tried again."""

from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import PurePosixPath
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, WithJsonSchema

from service.domain.addresses import plain

LONGEST_PAUSE_S = 300.0
# Where cloud machines find their own credentials, where that is no link-local address.
_METADATA = frozenset(
    map(ip_address, ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254"))
)


class ServerKind(StrEnum):
    """Whose HTTP routes a server has."""

    vllm = "vllm"
    sglang = "sglang"


class Precision(StrEnum):
    """What a server computes in, which decides how far rounding alone may move its answers to a probe."""

    float32 = "float32"
    float16 = "float16"
    bfloat16 = "bfloat16"


class SwapStep(StrEnum):
    """What is being done to a replica, in this order; a version that was withdrawn goes before all else."""

    load = "load"
    probe = "probe"
    flip = "flip"
    drain = "drain"
    overwrite = "overwrite"
    unload = "unload"


def pause_before(attempt: int) -> float:
    """Seconds to wait before the attempt with this number (the first retry is 1): doubling, at most five minutes."""
    return float(min(2 ** min(attempt - 1, 20), LONGEST_PAUSE_S))


def is_forbidden_address(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address is none of a server's: link-local ones hand out a cloud machine's own credentials.

    Private networks are allowed, because that is where inference servers belong.
    """
    meant = plain(address)
    return bool(meant.is_link_local or meant.is_multicast or meant.is_unspecified or meant in _METADATA)


def _server_url(text: str) -> str:
    parts = urlsplit(text)
    # Asking for the port checks it.
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
        raise ValueError("the URL must be http:// or https:// with a host")
    if "@" in parts.netloc:
        raise ValueError("the URL must not hold credentials; give them as api_key")
    if parts.query or parts.fragment or "?" in text or "#" in text:
        raise ValueError("the URL must end with its path")
    try:
        address = ip_address(parts.hostname)
    except ValueError:
        return text.rstrip("/")
    if is_forbidden_address(address):
        raise ValueError("the URL names a link-local, multicast or unspecified address")
    return text.rstrip("/")


ServerUrl = Annotated[str, AfterValidator(_server_url)]


def _mount(text: str) -> str:
    path = PurePosixPath(text)
    if not path.is_absolute() or ".." in path.parts:
        raise ValueError("the directory must be an absolute path without `..`")
    return str(path)


Mount = Annotated[str, AfterValidator(_mount), WithJsonSchema({"type": "string", "pattern": "^/"})]


def is_within(directory: str, allowed: list[str]) -> bool:
    """Whether a directory is one of the allowed ones, or below one."""
    return any(PurePosixPath(directory).is_relative_to(prefix) for prefix in allowed)
