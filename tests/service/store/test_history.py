"""What SQLite keeps of rows as they were: nothing, once its log was dropped."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from service.store.database import Store

SECRET = b"brackenfell 9013"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(f"sqlite:///{tmp_path / 'lethe.db'}")
    with store.engine.begin() as connection:
        connection.execute(text("CREATE TABLE notes (id INTEGER PRIMARY KEY, said BLOB)"))
        connection.execute(text("INSERT INTO notes VALUES (1, :said), (2, 'kept')"), {"said": SECRET})
    yield store
    store.close()


def holds_it(directory: Path) -> bool:
    return any(SECRET in path.read_bytes() for path in directory.iterdir())


@pytest.mark.parametrize("statement", ["DELETE FROM notes WHERE id = 1", "UPDATE notes SET said = 'x' WHERE id = 1"])
def test_what_was_deleted_or_overwritten_leaves_the_disk(store: Store, tmp_path: Path, statement: str) -> None:
    assert holds_it(tmp_path)
    with store.engine.begin() as connection:
        connection.execute(text(statement))
    assert holds_it(tmp_path), "the log still tells of it"
    assert store.drop_history()
    assert not holds_it(tmp_path)


def test_a_reader_in_the_way_is_not_waited_for(store: Store, tmp_path: Path) -> None:
    with store.engine.connect() as reader:
        reader.execute(text("SELECT * FROM notes")).fetchall()
        with store.engine.begin() as connection:
            connection.execute(text("DELETE FROM notes WHERE id = 1"))
        assert not store.drop_history()
    assert store.drop_history()
    assert not holds_it(tmp_path)
