"""Every type of problem, read from the page that users read: PROBLEMS.md."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

_ROW = re.compile(r"\| `(?P<code>[a-z0-9-]+)` \| (?P<status>\d{3})? ?\| (?P<meaning>.+?) \| (?P<fix>.+) \|")


@dataclass(frozen=True, slots=True)
class ProblemType:
    """`status`: that of its documents; None for what is never sent, but raised by commands and the client."""

    status: int | None
    meaning: str
    fix: str


@cache
def problem_types() -> Mapping[str, ProblemType]:
    """By code."""
    page = files("service.api").joinpath("PROBLEMS.md").read_text(encoding="utf-8")
    return {
        row["code"]: ProblemType(int(row["status"]) if row["status"] else None, row["meaning"], row["fix"])
        for row in map(_ROW.fullmatch, page.splitlines())
        if row is not None
    }
