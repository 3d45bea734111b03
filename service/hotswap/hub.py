"""What clients of the Hugging Face Hub mean: repositories, revisions and commits of adapter lines.

Every version has a repository of its own, `support-bot/v3`, since many servers ask for `main` only. The repository
`support-bot/adapter` is the whole line: its revisions are the line's versions and aliases, and `main` is `production`.
A commit is the beginning of a version's digest.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from service.domain.errors import NotFound
from service.domain.states import VersionState
from service.flows.alias import check_servable
from service.flows.lookup import VERSION_NAME, find_version
from service.flows.new_version import PRODUCTION
from service.store.database import Unit
from service.store.tables import Line, Version

MAIN = "main"
LINE_REPOSITORY = "adapter"

_DIGEST = "sha256:"
_COMMIT_DIGITS = 40
_COMMIT = re.compile(rf"[0-9a-f]{{{_COMMIT_DIGITS}}}")


@dataclass(frozen=True, slots=True)
class Repository:
    """A line's repository. `version`: the only one in it; None if it is the whole line's."""

    line: Line
    version: Version | None

    @property
    def id(self) -> str:
        return f"{self.line.name}/{LINE_REPOSITORY if self.version is None else f'v{self.version.number}'}"

    def may_move(self, revision: str) -> bool:
        """Whether a revision may mean another version tomorrow."""
        return self.version is None and not (_COMMIT.fullmatch(revision) or VERSION_NAME.fullmatch(revision))


@dataclass(frozen=True, slots=True)
class Ref:
    """A name for a commit. Branches move, tags do not."""

    name: str
    version: Version
    is_branch: bool


def commit_of(version: Version) -> str:
    """The Hub's 40 hex digits for a version that has a digest."""
    return str(version.digest).removeprefix(_DIGEST)[:_COMMIT_DIGITS]


def find_repository(unit: Unit, line: Line, name: str) -> Repository:
    """Raises NotFound."""
    if name == LINE_REPOSITORY:
        return Repository(line, None)
    numbered = VERSION_NAME.fullmatch(name)
    version = unit.versions.by_number(line.id, int(numbered[1])) if numbered else None
    if version is None:
        raise NotFound(
            "The line has no such repository.",
            field="repository",
            fix=f"Use a version such as `v3`, or `{LINE_REPOSITORY}`.",
            code="unknown-repository",
        )
    return Repository(line, version)


def find_revision(unit: Unit, repository: Repository, revision: str) -> Version:
    """The version in service that a branch, tag or commit of a repository means.

    Raises:
        NotFound: nothing has this name.
        Gone: it was withdrawn.
        Conflict: it is not ready.
    """
    version = repository.version
    if version is None:
        version = _of_line(unit, repository.line, revision)
    elif revision not in (MAIN, f"v{version.number}", commit_of(version)):
        raise _unknown_revision()
    check_servable(version)
    return version


def refs(unit: Unit, repository: Repository) -> Iterator[Ref]:
    """The branches and tags under which versions in service are found."""
    if repository.version is not None:
        if repository.version.state is VersionState.ready:
            yield Ref(MAIN, repository.version, is_branch=True)
            yield Ref(f"v{repository.version.number}", repository.version, is_branch=False)
        return
    for version in unit.versions.of_line(repository.line.id, VersionState.ready):
        yield Ref(f"v{version.number}", version, is_branch=False)
    for alias in unit.lines.aliases(repository.line.id):
        version = unit.versions.get(alias.version_id)
        if alias.name == PRODUCTION:
            yield Ref(MAIN, version, is_branch=True)
        if alias.name != MAIN:
            yield Ref(alias.name, version, is_branch=True)


def _of_line(unit: Unit, line: Line, revision: str) -> Version:
    if not _COMMIT.fullmatch(revision):
        return find_version(unit, line, PRODUCTION if revision == MAIN else revision)
    found = unit.versions.with_digest(line.id, f"{_DIGEST}{revision}")
    if not found:
        raise _unknown_revision()
    # Equal files make equal commits: a version in service speaks for those that are not.
    return next((version for version in found if version.state is VersionState.ready), found[0])


def _unknown_revision() -> NotFound:
    return NotFound("The repository has no such revision.", field="revision", code="unknown-revision")
