"""Four eyes: a person stays one person, whatever key or token is used."""

from contextlib import suppress

import pytest

from service.domain.errors import Forbidden
from service.domain.scopes import EVERY_SCOPE
from service.domain.states import RequestState
from service.flows.decide import approve
from service.flows.keys import KeyOrder, create_key
from tests.support.house import House, people, remove

ANN, BOB = "oidc:ann", "oidc:bob"


@pytest.fixture
def asking(house: House) -> House:
    house.line("bot", people(6), require_approval=True)
    return house


def key_of(house: House, maker: str) -> str:
    with house.store.write() as unit:
        key, _ = create_key(unit, house.vault, KeyOrder("k", EVERY_SCOPE), granted=EVERY_SCOPE, actor=maker)
    return key.id


def approved(house: House, *, by: str, filed_by: str) -> bool:
    request = house.submit(remove("p0-0"), actor=filed_by)
    with suppress(Forbidden), house.store.write() as unit:
        approve(unit, request, actor=by)
    return house.request(request).state is RequestState.queued


def test_people(asking: House) -> None:
    assert not approved(asking, filed_by=ANN, by=ANN)
    assert approved(asking, filed_by=ANN, by=BOB)


def test_a_person_and_the_keys_that_the_person_made(asking: House) -> None:
    key = key_of(asking, ANN)
    assert not approved(asking, filed_by=key, by=ANN)
    assert not approved(asking, filed_by=ANN, by=key)
    assert not approved(asking, filed_by=ANN, by=key_of(asking, key))
    assert not approved(asking, filed_by=key_of(asking, ANN), by=key)


def test_a_person_and_the_keys_of_another(asking: House) -> None:
    assert approved(asking, filed_by=ANN, by=key_of(asking, BOB))


def test_keys_that_no_person_made(asking: House) -> None:
    first, second = key_of(asking, "lethe"), key_of(asking, "lethe")
    assert not approved(asking, filed_by=first, by=first)
    assert approved(asking, filed_by=first, by=second)
