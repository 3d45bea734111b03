"""Following Lethe's feed: tombstones, confirmations, and the removal of files that nobody needs any more.

A pass that reaches the feed's end proves that nothing it follows was withdrawn up to then, so it renews the leases.
"""

import time
from dataclasses import replace

from .lethe import Event, Lethe, Refused
from .shelf import WITHDRAWN, Record, Shelf

_BAD_CURSOR, _GONE, _UNKNOWN = 400, 410, 404


class Follower:
    """One reader of the feed. A pass blocks; it runs in the resolver's threads, one at a time."""

    def __init__(self, lethe: Lethe, shelf: Shelf, lease_s: float) -> None:
        self._lethe, self._shelf, self._lease_s = lethe, shelf, lease_s
        self._cursor: str | None = None
        self._followed: set[str] = set()

    def catch_up(self) -> list[Event]:
        """Read the feed to its end; returns what happened.

        Raises:
            Unreachable, Refused, Damaged: the pass is repeated later, from where it was.
        """
        if self._cursor is None:
            # The end of the feed first: what happens while the versions are asked for comes in the next pass.
            _, cursor = self._lethe.events(None)
            for record in self._shelf.records():
                (self._followed.add if self._is_served(record) else self._followed.discard)(record.version.id)
            self._cursor = cursor
        happened: list[Event] = []
        while True:
            began = time.time()
            events = self._next_page()
            for event in events:
                if event.type == "version.withdrawn" and event.version is not None:
                    self._shelf.withdraw(event.version)
            happened += events
            if not events:
                self._renew(began)
                return happened

    def follow(self, version_id: str) -> None:
        """A version was just confirmed by Lethe itself, and is renewed with the others from now on."""
        self._followed.add(version_id)

    def remove_withdrawn(self) -> None:
        """Delete the files of withdrawn versions that no server has registered, and of downloads that died."""
        self._shelf.delete_stale_drafts()
        for record in self._shelf.records():
            if record.withdrawn:
                self._shelf.remove(record.version)

    def _next_page(self) -> list[Event]:
        try:
            events, self._cursor = self._lethe.events(self._cursor)
        except Refused as error:
            if error.status == _BAD_CURSOR:
                self._cursor = None
            raise
        return events

    def _is_served(self, record: Record) -> bool:
        """Whether a version that was here before is still in service; if it is not, its tombstone goes up.

        One that this key does not see may be another server's. It is left to its lease.
        """
        if record.withdrawn:
            return False
        line, _, selector = record.version.id.partition("@")
        try:
            state = self._lethe.version(line, selector).state
        except Refused as error:
            if error.status not in (_GONE, _UNKNOWN):
                raise
            state = "withdrawn" if error.status == _GONE else "unknown"
        if state in WITHDRAWN:
            self._shelf.withdraw(record.version.id)
        return state == "ready"

    def _renew(self, confirmed_at: float) -> None:
        """Not at every pass: a third of the lease is early enough, and each renewal is a write to the disk."""
        for version_id in tuple(self._followed):
            record = self._shelf.record(version_id)
            if record is not None and confirmed_at - record.confirmed_at > self._lease_s / 3:
                self._shelf.confirm(replace(record, confirmed_at=confirmed_at))
