"""Typed, time-ordered identifiers: `req_…`, `run_…`, `ds_…`."""

from typing import Literal

from uuid6 import uuid7

Prefix = Literal[
    "ds",
    "adp",
    "ver",
    "req",
    "tgt",
    "run",
    "cert",
    "key",
    "txt",
    "led",
    "aud",
    "plan",
    "srv",
    "rep",
    "swap",
    "inb",
    "ins",
    "whe",
    "whs",
    "whd",
    "tok",
    "scb",
    "jrn",
]


def new_id(prefix: Prefix) -> str:
    """A new identifier: the type's prefix and a UUIDv7 (RFC 9562), so ids sort by creation time."""
    return f"{prefix}_{uuid7().hex}"
