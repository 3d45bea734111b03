"""What has to change in an MLflow registered model so that it shows an adapter line as it is. Pure functions.

MLflow numbers versions itself and never uses a number again, so `support-bot@v3` may be its version 5; a tag tells
which is which. Withdrawn versions are deleted there. Aliases are the line's and no others: one that was set there by
hand could lead to a version that remembers what was erased.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

VERSION_TAG = "lethe.version"
OWNER_TAG = "lethe.adapter"
# Names that MLflow keeps for itself, in any case.
_RESERVED_ALIAS = re.compile(r"latest|v\d+", re.IGNORECASE)

Tags = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Shown:
    """A version in service: its address in Lethe's Hub facade, and what is said of it."""

    source: str
    tags: Tags


@dataclass(frozen=True, slots=True)
class Line:
    """A line as it is. `versions`: those in service, by name (`v3`); `aliases`: to such names."""

    tags: Tags
    versions: Mapping[str, Shown]
    aliases: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Model:
    """A registered model as MLflow has it. `versions`: the tags of each, by MLflow's number."""

    tags: Tags
    versions: Mapping[int, Tags]
    aliases: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Changes:
    """What to do, in this order: what was withdrawn goes first.

    Args:
        delete: MLflow's numbers.
        drop: aliases.
        tag: of the registered model.
        retag: of versions that stay, by MLflow's number.
        create: names of versions, oldest first.
        point: aliases, to names of versions.
        numbers: MLflow's number of each version that stays, by its name.
    """

    delete: Sequence[int]
    drop: Sequence[str]
    tag: Tags
    retag: Mapping[int, Tags]
    create: Sequence[str]
    point: Mapping[str, str]
    numbers: Mapping[str, int]

    def __bool__(self) -> bool:
        return any((self.delete, self.drop, self.tag, self.retag, self.create, self.point))


def difference(line: Line, model: Model) -> Changes:
    """What makes `model` show `line`. Versions that bear no tag of ours are left alone."""
    ours = sorted((tags[VERSION_TAG], number) for number, tags in model.versions.items() if VERSION_TAG in tags)
    # Of two that show the same version, made by two processes at once, the first one stays.
    first = {name: next(group)[1] for name, group in groupby(ours, key=lambda pair: pair[0])}
    numbers = {name: number for name, number in first.items() if name in line.versions}
    wanted = {alias: name for alias, name in line.aliases.items() if not _RESERVED_ALIAS.fullmatch(alias)}
    retag = {
        number: missing
        for name, number in numbers.items()
        if (missing := _missing(line.versions[name].tags, model.versions[number]))
    }
    return Changes(
        delete=[number for name, number in ours if numbers.get(name) != number],
        drop=sorted(model.aliases.keys() - wanted.keys()),
        tag=_missing(line.tags, model.tags),
        retag=retag,
        create=[name for name in line.versions if name not in numbers],
        point={
            alias: name
            for alias, name in wanted.items()
            if name not in numbers or model.aliases.get(alias) != numbers[name]
        },
        numbers=numbers,
    )


def _missing(wanted: Tags, present: Tags) -> Tags:
    return {key: value for key, value in wanted.items() if present.get(key) != value}
