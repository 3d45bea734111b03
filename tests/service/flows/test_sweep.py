"""What the sweep deletes, when something is published while it looks."""

from typing import Any

from sqlalchemy import event

from service.flows.sweep import sweep
from tests.support.house import House, people, remove


def test_the_artefacts_of_an_anchor_that_is_published_while_the_sweep_looks_are_kept(house: House) -> None:
    """PostgreSQL shows each statement of a transaction what is committed by then."""
    line = house.line("bot", people(6))
    house.submit(remove("p0-0"))
    house.serve(line)
    rebuild = house.begin_rebuild(line)
    seen: list[str] = []

    def publish_after_the_first_look(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if not seen and statement.startswith("SELECT"):
            seen.append(statement)
            assert house.rebuild(rebuild) is None

    event.listen(house.store.engine, "after_cursor_execute", publish_after_the_first_look)
    try:
        sweep(house.store, house.blobs)
    finally:
        event.remove(house.store.engine, "after_cursor_execute", publish_after_the_first_look)
    assert seen
    sweep(house.store, house.blobs)
    with house.store.read() as unit:
        first, *_, anchor = unit.versions.of_line(line)
        assert unit.lines.get(line).anchor_id == anchor.id
        assert anchor.artefacts_prefix is not None
        assert house.blobs.exists_tree(anchor.artefacts_prefix)
        assert first.artefacts_prefix is None, "that one is an anchor no more"
