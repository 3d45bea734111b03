"""The names that clients may ask for. Anything else is answered without a look at the network or the disk."""

import re
from dataclasses import dataclass

_VERSION = re.compile(r"(?P<line>[a-z0-9][a-z0-9._-]{0,62})@v[1-9][0-9]{0,8}", re.ASCII)
_ALIAS = re.compile(r"(?P<line>[a-z0-9][a-z0-9._-]{0,62})@(?P<alias>[a-z][a-z0-9_-]{0,62})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Name:
    """`line@selector`, where the selector is a version (`v3`) or an alias."""

    line: str
    selector: str
    is_alias: bool

    def __str__(self) -> str:
        return f"{self.line}@{self.selector}"


def parse(text: str, *, aliases: bool) -> Name | None:
    """The name that a text is; None if it is none, or an alias while those are not served."""
    version = _VERSION.fullmatch(text)
    if version:
        return Name(version["line"], text.rpartition("@")[2], is_alias=False)
    alias = _ALIAS.fullmatch(text) if aliases else None
    return Name(alias["line"], alias["alias"], is_alias=True) if alias else None
