"""What repositories and revisions mean."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.domain.errors import Gone, NotFound
from service.flows.alias import set_alias
from service.flows.withdraw import withdraw
from service.hotswap.hub import Ref, commit_of, find_repository, find_revision, refs
from tests.support.api import Api, removal
from tests.support.house import ACTOR, people

PLACEHOLDER = "0" * 40


@pytest.fixture(scope="module")
def house(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """`bot`: v1 is withdrawn, v2 in service, v3 in production and staging. Tests leave it as it is."""
    home = tmp_path_factory.mktemp("home")
    shutil.copyfile(migrated_sqlite, home / "lethe.db")
    api = Api(home, f"sqlite:///{home}/lethe.db")
    line = api.line("bot", people(10), promotion="manual")
    for instance in ("p1-0", "p2-0"):
        api.client.post("/v1/unlearning-requests", json=removal(instance))
        api.serve(line)
    with api.store.write() as unit:
        for alias, version in (("production", "v3"), ("staging", "v3")):
            set_alias(unit, "bot", alias, version=version, expected=None, actor=ACTOR)
        withdraw(unit, "bot", ["v1"], actor=ACTOR)
    yield api
    api.store.close()


def meaning(house: Api, repository: str, revision: str) -> int:
    """The number of the version."""
    with house.store.read() as unit:
        line = unit.lines.by_name("bot")
        assert line is not None
        return find_revision(unit, find_repository(unit, line, repository), revision).number


def commit(house: Api, number: int) -> str:
    with house.store.read() as unit:
        line = unit.lines.by_name("bot")
        assert line is not None
        version = unit.versions.by_number(line.id, number)
        assert version is not None
        return commit_of(version)


def test_a_commit_is_the_beginning_of_the_digest(house: Api) -> None:
    digest = house.client.get("/v1/adapters/bot/versions/v2").json()["digest"]

    assert re.fullmatch("[0-9a-f]{40}", commit(house, 2))
    assert digest.startswith(f"sha256:{commit(house, 2)}")


@pytest.mark.parametrize(
    ("revision", "number"), [("main", 3), ("production", 3), ("staging", 3), ("v2", 2), ("v3", 3)]
)
def test_the_line_s_repository_has_versions_and_aliases_for_revisions(house: Api, revision: str, number: int) -> None:
    assert meaning(house, "adapter", revision) == number


def test_and_commits(house: Api) -> None:
    assert meaning(house, "adapter", commit(house, 2)) == 2


def test_a_version_s_repository_holds_it_alone(house: Api) -> None:
    for revision in ("main", "v2", commit(house, 2)):
        assert meaning(house, "v2", revision) == 2
    for revision in ("v3", "production", "staging", commit(house, 3), PLACEHOLDER):
        with pytest.raises(NotFound):
            meaning(house, "v2", revision)


@pytest.mark.parametrize("name", ["v4", "v0", "v02", "2", "main", "production", "bot"])
def test_other_repositories_do_not_exist(house: Api, name: str) -> None:
    with pytest.raises(NotFound) as caught:
        meaning(house, name, "main")

    assert caught.value.code == "unknown-repository"


@pytest.mark.parametrize(("repository", "revision"), [("v1", "main"), ("v1", "v1"), ("adapter", "v1")])
def test_a_withdrawn_version_is_gone_under_every_name(house: Api, repository: str, revision: str) -> None:
    for name in (revision, commit(house, 1)):
        with pytest.raises(Gone):
            meaning(house, repository, name)


@pytest.mark.parametrize("revision", ["v9", "canary", "refs/heads/main", PLACEHOLDER, ""])
def test_a_revision_that_is_none(house: Api, revision: str) -> None:
    with pytest.raises(NotFound):
        meaning(house, "adapter", revision)


def test_only_branches_of_a_line_move(house: Api) -> None:
    with house.store.read() as unit:
        line = unit.lines.by_name("bot")
        assert line is not None
        whole, one = find_repository(unit, line, "adapter"), find_repository(unit, line, "v2")

    assert [revision for revision in ("main", "staging", "v2", PLACEHOLDER) if whole.may_move(revision)] == [
        "main",
        "staging",
    ]
    assert not one.may_move("main")


def test_refs_list_what_is_in_service(house: Api) -> None:
    def listed(repository: str) -> set[tuple[str, int, bool]]:
        with house.store.read() as unit:
            line = unit.lines.by_name("bot")
            assert line is not None
            found: list[Ref] = list(refs(unit, find_repository(unit, line, repository)))
            return {(ref.name, ref.version.number, ref.is_branch) for ref in found}

    branches = {("main", 3, True), ("production", 3, True), ("staging", 3, True)}
    assert listed("adapter") == branches | {("v2", 2, False), ("v3", 3, False)}
    assert listed("v2") == {("main", 2, True), ("v2", 2, False)}
    assert listed("v1") == set()


def test_where_versions_are_equal_the_one_in_service_speaks_for_all(house: Api) -> None:
    with house.store.write() as unit:
        line = unit.lines.by_name("bot")
        assert line is not None
        first, second = unit.versions.by_number(line.id, 1), unit.versions.by_number(line.id, 2)
        assert first is not None
        assert second is not None
        first.digest, kept = second.digest, first.digest
    try:
        assert meaning(house, "adapter", commit(house, 2)) == 2
    finally:
        with house.store.write() as unit:
            unit.versions.get(first.id).digest = kept
