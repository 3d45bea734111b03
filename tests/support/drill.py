"""A restore drill over a house."""

from pathlib import Path

from service.domain.runs import Lane
from service.flows.compact import rebuild_now
from service.flows.journal import write_waiting
from service.flows.reapply import lost_entries, reapply
from service.store.journal import Journal
from tests.support.backup import back_up, restore
from tests.support.house import ACTOR, House

SUBJECT = "Person 1"


class Drill:
    """A backup of the database, and what happens to it. The blob store and the journal are never taken back."""

    def __init__(self, house: House, place: Path) -> None:
        self.house, self._backup = house, place / "backup"
        self.journal = Journal(house.blobs, house.vault.hashes.journal)

    def back_up(self) -> None:
        write_waiting(self.house.store, self.journal)
        back_up(self.house.store.url, self._backup)

    def lose_and_restore(self) -> None:
        """What happened since the backup is in the journal only."""
        write_waiting(self.house.store, self.journal)
        self.house.store.close()
        restore(self.house.store.url, self._backup)

    def reapply(self) -> int:
        return reapply(self.house.store, self.house.vault, self.house.blobs, self.journal)

    def restore_and_reapply(self) -> None:
        self.lose_and_restore()
        assert self.reapply() > 0
        assert not lost_entries(self.house.store, self.journal)


def rebuild(house: House, line: str) -> None:
    with house.store.write() as unit:
        if unit.runs.queued(line, Lane.compact) is None:
            rebuild_now(unit, unit.lines.get(line).name, actor=ACTOR)
    assert house.rebuild(house.claim_queued(line, Lane.compact)) is None
