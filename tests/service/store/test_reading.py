"""A read transaction sees the database as it was at one moment, on SQLite and on PostgreSQL, and changes nothing."""

from collections.abc import Iterator
from contextlib import suppress

import pytest
from sqlalchemy.exc import InternalError

from service.domain.adapters import BaseModelRef, Policy
from service.flows.lines import create_line
from service.store.database import Store
from tests.support.house import ACTOR


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    store = Store(database_url)
    yield store
    store.close()


def names(store: Store) -> list[str]:
    with store.read() as unit:
        return sorted(line.name for line in unit.lines.list())


def add(store: Store, name: str) -> None:
    with store.write() as unit:
        create_line(unit, name, BaseModelRef(path="/models/base"), Policy(), actor=ACTOR)


def test_what_is_committed_meanwhile_is_seen_by_the_next(store: Store) -> None:
    add(store, "before")
    with store.read() as unit:
        assert len(unit.lines.list()) == 1
        add(store, "meanwhile")
        assert len(unit.lines.list()) == 1
    assert names(store) == ["before", "meanwhile"]


def test_the_moment_is_that_of_its_first_look_whatever_that_was_at(store: Store) -> None:
    add(store, "before")
    with store.read() as unit:
        assert unit.feed.last_seq() > 0
        add(store, "meanwhile")
        assert len(unit.lines.list()) == 1


def test_what_it_changes_is_not_kept(store: Store) -> None:
    add(store, "before")
    # PostgreSQL refuses at once.
    with suppress(InternalError), store.read() as unit:
        unit.lines.list()[0].name = "after"
        unit.session.flush()
    assert names(store) == ["before"]
