"""The feed under concurrent writers: whoever reads on from a cursor misses nothing, whatever commits last."""

import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import event
from sqlalchemy.orm import Session

from service.store.database import Store

WRITERS, TRANSACTIONS = 6, 25


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    store = Store(database_url)
    yield store
    store.close()


@pytest.fixture
def _commits_dawdle() -> Iterator[None]:
    """Some time passes between the numbering of events and their commit, and never the same."""

    def dawdle(_: Session) -> None:
        time.sleep(random.random() * 0.01)

    event.listen(Session, "before_commit", dawdle)
    yield
    event.remove(Session, "before_commit", dawdle)


class _Abandoned(Exception):
    """A transaction that numbers its events and is rolled back."""


def write(store: Store, writer: int) -> list[str]:
    """The events of one writer, as committed."""
    written = []
    for number in range(TRANSACTIONS):
        names = [f"{writer}.{number}.{part}" for part in range(1 + number % 3)]
        try:
            with store.write() as unit:
                for name in names:
                    unit.emit("run.progress", run_id=name)
                if number % 5 == 0:
                    unit.finish()
                    raise _Abandoned
        except _Abandoned:
            continue
        written += names
    return written


@pytest.mark.usefixtures("_commits_dawdle")
def test_a_reader_misses_nothing_and_sees_nothing_twice(store: Store) -> None:
    seen: list[tuple[int, str]] = []
    over = threading.Event()

    def read() -> None:
        cursor, last_look = 0, False
        while not last_look:
            last_look = over.is_set()
            with store.read() as unit:
                rows = unit.feed.events(cursor, limit=500)
                seen.extend((row.seq, str(row.run_id)) for row in rows)
            cursor = seen[-1][0] if seen else 0

    reader = threading.Thread(target=read)
    reader.start()
    with ThreadPoolExecutor(WRITERS) as pool:
        written = [name for names in pool.map(lambda writer: write(store, writer), range(WRITERS)) for name in names]
    over.set()
    reader.join()
    assert sorted(name for _, name in seen) == sorted(written)
    assert [seq for seq, _ in seen] == sorted(seq for seq, _ in seen)
    if store.engine.dialect.name == "postgresql":
        assert seen[-1][0] > len(seen), "abandoned transactions leave gaps in the numbers"
