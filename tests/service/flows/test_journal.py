"""The journal beside the database: nobody can be read out of it, and it is whole or stops everything."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select

from service.domain.errors import Corrupted
from service.flows.journal import write_waiting
from service.store.tables import JournalRow, Suppression
from tests.support.drill import SUBJECT, Drill, rebuild
from tests.support.house import House, correct, people, remove_subject


def test_nobody_can_be_read_out_of_the_journal(house: House, drill: Drill) -> None:
    line = house.line("bot", people(6))
    house.submit(remove_subject(SUBJECT), client_reference="ticket of Person 1")
    house.submit(correct("p2-0", "The truth about Zoltan."))
    house.serve(line)
    rebuild(house, line)
    write_waiting(house.store, drill.journal)
    said = b"".join(b"".join(house.blobs.chunks(f"journal/{name}")) for name in house.blobs.names("journal"))
    assert b"answered" in said
    assert b"shredded" in said
    for word in (b"Person", b"p1-0", b"p2-0", b"Zoltan", b"Answer", b"ticket"):
        assert word not in said


def test_an_entry_that_was_altered_stops_everything(house: House, drill: Drill, tmp_path: Path) -> None:
    line = house.line("bot", people(6))
    drill.back_up()
    house.submit(remove_subject(SUBJECT))
    house.serve(line)
    drill.lose_and_restore()
    newest = tmp_path / "blobs" / "journal" / f"{max(drill.journal.ids())}.json"
    newest.write_bytes(newest.read_bytes().replace(b'"removed": true', b'"removed": false'))
    with pytest.raises(Corrupted):
        drill.reapply()
    with house.store.read() as unit:
        assert not unit.session.scalars(select(Suppression)).all(), "nothing half done"


def test_entries_that_the_journal_lost_are_written_again(house: House, drill: Drill, tmp_path: Path) -> None:
    house.line("bot", people(6))
    write_waiting(house.store, drill.journal)
    there = drill.journal.ids()
    assert there
    for name in there:
        (tmp_path / "blobs" / "journal" / f"{name}.json").unlink()
    assert drill.reapply() == 0
    assert write_waiting(house.store, drill.journal) == len(there)
    assert drill.journal.ids() == there


def test_writing_that_breaks_off_is_done_again(house: House, drill: Drill, monkeypatch: pytest.MonkeyPatch) -> None:
    house.line("bot", people(6))
    write: Callable[..., None] = drill.journal.write
    monkeypatch.setattr(drill.journal, "write", lambda entry: (write(entry), _break())[1])
    with pytest.raises(OSError, match="power"):
        write_waiting(house.store, drill.journal)
    monkeypatch.undo()
    write_waiting(house.store, drill.journal)
    with house.store.read() as unit:
        assert unit.journal.count_unwritten() == 0
        assert unit.journal.ids() == drill.journal.ids()


def _break() -> None:
    raise OSError("power")


def test_an_entry_reads_as_it_was_written(house: House, drill: Drill) -> None:
    house.line("bot", people(6))
    write_waiting(house.store, drill.journal)
    [entry] = [drill.journal.read(name) for name in drill.journal.ids()]
    with house.store.read() as unit:
        [row] = unit.session.scalars(select(JournalRow)).all()
    assert (entry.id, entry.at, list(entry.facts)) == (row.id, row.created_at, row.facts)
    assert json.loads(entry.to_bytes())[0] == row.id
