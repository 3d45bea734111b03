"""Count what is asked of the database."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import event

from service.store.database import Store


@contextmanager
def statements(store: Store) -> Iterator[list[str]]:
    """The SQL that is executed meanwhile."""
    executed: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        executed.append(statement)

    event.listen(store.engine, "before_cursor_execute", note)
    yield executed
    event.remove(store.engine, "before_cursor_execute", note)
