"""Which adapters the server still has registered.

vLLM does not tell its plugins when it unloads a name. But what it registers is the very object that the resolver
returned, and requests that still run refer to it as well: as long as anything besides us does, the files are needed.
"""

import sys
from dataclasses import dataclass
from typing import Any, BinaryIO

# The attribute of the entry, and the argument of getrefcount itself.
_OURS = 2


@dataclass(frozen=True, slots=True)
class Entry:
    """An object that was handed to the server, the name it was asked for by, and the lock on its files."""

    name: str
    request: Any
    lock: BinaryIO


class Held:
    """What was handed out and may still be in use."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []

    def add(self, entry: Entry) -> None:
        self._entries.append(entry)

    def release_unused(self) -> None:
        """Forget what the server has forgotten, and unlock its files."""
        in_use: list[Entry] = []
        for entry in self._entries:
            if sys.getrefcount(entry.request) > _OURS:
                in_use.append(entry)
            else:
                entry.lock.close()
        self._entries = in_use

    def names(self) -> frozenset[str]:
        return frozenset(entry.name for entry in self._entries)

    def close(self) -> None:
        """Unlock everything, at the server's end."""
        for entry in self._entries:
            entry.lock.close()
        self._entries = []
