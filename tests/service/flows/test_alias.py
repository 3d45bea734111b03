"""Aliases move by compare-and-set, and never back behind an erasure."""

import pytest

from service.domain.errors import Conflict, Gone, NotFound, UndoesErasure
from service.flows.alias import set_alias
from service.flows.withdraw import withdraw
from tests.support.house import ACTOR, House, people, remove


def point(house: House, name: str, version: str, expected: str | None) -> None:
    with house.store.write() as unit:
        set_alias(unit, "bot", name, version=version, expected=expected, actor=ACTOR)


def test_compare_and_set(house: House) -> None:
    house.line("bot", people(6))
    point(house, "canary", "v1", None)
    for expected in (None, "v2"):
        with pytest.raises(Conflict) as refused:
            point(house, "canary", "v1", expected)
        assert refused.value.extra == {"present": "v1"}
    point(house, "canary", "v1", "v1")


def test_an_alias_may_name_another_alias(house: House) -> None:
    house.line("bot", people(6))
    point(house, "canary", "production", None)


def test_never_to_a_version_that_would_undo_an_erasure(house: House) -> None:
    line = house.line("bot", people(8))
    for number in range(2):
        house.submit(remove(f"p{number}-0"))
        house.serve(line)
    for version in ("v1", "v2"):
        with pytest.raises(UndoesErasure) as refused:
            point(house, "production", version, "v3")
        assert refused.value.extra == {"lowest_allowed": "v3", "roll_forward": "/v1/adapters/bot/roll-forwards"}


def test_unknown_and_withdrawn_versions(house: House) -> None:
    line = house.line("bot", people(8))
    house.submit(remove("p0-0"))
    house.serve(line)
    with pytest.raises(NotFound):
        point(house, "production", "v9", "v2")
    with house.store.write() as unit:
        withdraw(unit, "bot", ["v1"], actor=ACTOR)
    with pytest.raises(Gone):
        point(house, "production", "v1", "v2")


def test_a_version_in_use_is_not_withdrawn(house: House) -> None:
    house.line("bot", people(6))
    with pytest.raises(Conflict), house.store.write() as unit:
        withdraw(unit, "bot", ["v1"], actor=ACTOR)
