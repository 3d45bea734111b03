"""Printing: tables for people on a terminal, JSON for machines. Nothing here decides anything."""

import json
import os
from collections.abc import Iterable, Mapping

from pydantic import BaseModel
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from service.domain.errors import LetheError

# Columns of what goes to a file or pipe.
WIDTH = 160


class Output:
    """Results go to standard output; problems and progress to standard error."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.console = _console()
        self.errors = _console(stderr=True)

    def one(self, answer: BaseModel, shown: RenderableType) -> None:
        if self.as_json:
            self._json(answer.model_dump(mode="json"))
        else:
            self.console.print(shown)

    def many(self, answers: Iterable[BaseModel], table: Table) -> None:
        if self.as_json:
            self._json([answer.model_dump(mode="json") for answer in answers])
        else:
            self.console.print(table)

    def value(self, value: Mapping[str, object], text: str) -> None:
        """An answer that lines of text say to people. Long lines are the terminal's to break: ids are copied whole."""
        if self.as_json:
            self._json(value)
        else:
            self.console.print(text, soft_wrap=True)

    def note(self, text: str) -> None:
        """A line for people only."""
        if not self.as_json:
            self.errors.print(text)

    def refusal(self, refusal: LetheError) -> None:
        """Title, detail, field and fix, each where there is one."""
        if self.as_json:
            self._json(_refusal_json(refusal))
            return
        self.errors.print(Text(refusal.title, style="bold red"))
        self.errors.print(refusal.detail)
        for name, value in (("field", refusal.field), ("fix", refusal.fix), *refusal.extra.items()):
            if value is not None:
                self.errors.print(f"  {name}: {value}")

    def _json(self, value: object) -> None:
        print(json.dumps(value, indent=2 if self.console.is_terminal else None))


def _console(*, stderr: bool = False) -> Console:
    """Text is taken as it is: what clients named may hold square brackets."""
    console = Console(stderr=stderr, highlight=False, markup=False)
    if not (console.is_terminal or os.environ.get("COLUMNS")):
        console.width = WIDTH
    return console


def _refusal_json(refusal: LetheError) -> dict[str, object]:
    members = {
        "title": refusal.title,
        "status": refusal.status,
        "code": refusal.code,
        "detail": refusal.detail,
        "field": refusal.field,
        "fix": refusal.fix,
        **refusal.extra,
    }
    return {name: value for name, value in members.items() if value is not None}
