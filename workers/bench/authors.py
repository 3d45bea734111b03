"""TOFU's fictitious authors (Maini et al. 2024, arXiv:2401.06121), read from its JSON Lines files.

Only authors all of whose questions TOFU also asks in other words are trained on: the first twenty and the
last twenty. Twenty more are never seen, and the remaining 140 teach a base model the language.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from service.domain.instances import Content
from workers.demo.world import as_prompt

ROWS_AN_AUTHOR = 20
# Nine rows of forty authors are as many instances as the generated world has.
ROWS_TAKEN = 9
TRAINED = (*range(20), *range(180, 200))
HOLDOUT = range(20, 40)
OTHERS = range(40, 180)
REWORDINGS = ("retain_perturbed.json", "forget10_perturbed.json")
PUBLIC = ("real_authors.json", "world_facts.json")


@dataclass(frozen=True, slots=True)
class Row:
    """A question with its answer; `reworded` asks it in other words."""

    id: str
    content: Content
    reworded: Content | None


@dataclass(frozen=True, slots=True)
class Author:
    name: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Authors:
    """Three disjoint groups; the others, and facts about the real world, as plain texts."""

    trained: tuple[Author, ...]
    holdout: tuple[Author, ...]
    others: tuple[str, ...]


def read(directory: Path) -> Authors:
    """The authors in the order of `full.json`, twenty rows each."""
    full = list(_lines(directory / "full.json"))
    rewordings = {
        line["question"]: str(line["paraphrased_question"]) for name in REWORDINGS for line in _lines(directory / name)
    }
    public = [line for name in PUBLIC for line in _lines(directory / name)]
    texts = [*(line for number in OTHERS for line in _of(full, number)), *public]
    return Authors(
        trained=tuple(_author(full, number, rewordings) for number in TRAINED),
        holdout=tuple(_author(full, number, {}) for number in HOLDOUT),
        others=tuple(as_prompt(str(line["question"])) + _completion(line) for line in texts),
    )


def _author(full: list[Mapping[str, object]], number: int, rewordings: Mapping[object, str]) -> Author:
    name = f"author-{number:03}"
    rows = []
    for position, line in enumerate(_of(full, number)[:ROWS_TAKEN]):
        other = rewordings.get(line["question"])
        reworded = _content(other, line) if other else None
        rows.append(Row(f"{name}/{position:02}", _content(str(line["question"]), line), reworded))
    return Author(name, tuple(rows))


def _of(full: list[Mapping[str, object]], number: int) -> list[Mapping[str, object]]:
    return full[number * ROWS_AN_AUTHOR : (number + 1) * ROWS_AN_AUTHOR]


def _content(question: str, line: Mapping[str, object]) -> Content:
    return Content(prompt=as_prompt(question), completion=_completion(line))


def _completion(line: Mapping[str, object]) -> str:
    return f" {line['answer']}"


def _lines(path: Path) -> Iterator[Mapping[str, object]]:
    """JSON Lines, although TOFU names its files .json."""
    with path.open(encoding="utf-8") as stream:
        yield from (json.loads(line) for line in stream if line.strip())
