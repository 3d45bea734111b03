"""From a name to a verified directory, or a reason why not. Blocks; runs in the resolver's threads."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from .fitness import FILES, Unfit, check_adapter
from .lethe import Damaged, Lethe, Refused, Unreachable, Version
from .names import Name
from .settings import Settings
from .shelf import WITHDRAWN, Record, Shelf

log = logging.getLogger("vllm.plugins.lethe")


class NotServed(Exception):
    """Why a name is not served, in words for the log."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A verified directory, locked against removal until `lock` is closed."""

    version: Version
    directory: Path
    lock: BinaryIO


def trust_the_connection(version: Version) -> None:
    """Ask for no more than the digests that Lethe states."""


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Fetches versions of one deployment onto one shelf.

    `vouch`: looks at the digests that Lethe states of a version; raises Damaged where something stronger denies them.
    """

    settings: Settings
    lethe: Lethe
    shelf: Shelf
    vouch: Callable[[Version], None] = trust_the_connection

    def fetch(self, base: str, name: Name) -> Placed:
        """The directory of a version for a base model, by vLLM's name for it.

        Raises:
            NotServed: see there.
        """
        try:
            record = self._confirmed(base, name)
        except Unreachable as error:
            record = self._leased(base, name, error)
        except Refused as error:
            raise NotServed(f"Lethe refuses it with status {error.status}") from error
        except (Damaged, Unfit) as error:
            raise NotServed(str(error)) from error
        lock = self.shelf.hold(record.version)
        try:
            # Only now can nobody remove the files any more.
            self._check_not_withdrawn(record.version.id)
            if not self.shelf.has(record.version):
                raise NotServed("its copy is damaged or was removed")
        except BaseException:
            lock.close()
            raise
        return Placed(record.version, self.shelf.directory(record.version), lock)

    def _confirmed(self, base: str, name: Name) -> Record:
        """A version that Lethe calls ready, after its files have come too: it may be withdrawn meanwhile.

        The record is written before Lethe is asked again. So a withdrawal after that finds it, by the feed or when
        the feed is taken up.
        """
        self._check_not_withdrawn(None if name.is_alias else str(name))
        version = self._ready(name.line, name.selector)
        self._check_base(base, name.line)
        self.vouch(version)
        self._make_available(version, Path(base))
        record = Record(version, base, time.time())
        self.shelf.confirm(record)
        self._ready(name.line, version.id.partition("@")[2])
        return record

    def _ready(self, line: str, selector: str) -> Version:
        version = self.lethe.version(line, selector)
        if version.state in WITHDRAWN:
            self.shelf.withdraw(version.id)
        self._check_not_withdrawn(version.id)
        if version.state != "ready":
            raise NotServed(f"it is {version.state}")
        return version

    def _check_not_withdrawn(self, version_id: str | None) -> None:
        known = None if version_id is None else self.shelf.record(version_id)
        if known is not None and known.withdrawn:
            raise NotServed("it was withdrawn")

    def _check_base(self, base: str, line: str) -> None:
        """An adapter works with the base model it was trained on only; elsewhere it answers nonsense."""
        ours = self.settings.bases or frozenset({base})
        if self.lethe.base_names(line).isdisjoint(one.removeprefix("sha256:") for one in ours):
            raise NotServed("its base model is another one; name this server's in LETHE_VLLM_BASE as Lethe does")

    def _make_available(self, version: Version, base: Path) -> None:
        missing = [name for name in FILES if name not in version.files]
        if missing:
            raise NotServed(f"it has no {missing[0]}")
        size = sum(version.files[name].size for name in FILES)
        if size > self.settings.max_bytes:
            raise NotServed(f"it has {size} bytes, more than LETHE_VLLM_MAX_BYTES")
        if self.shelf.has(version):
            return
        with self.shelf.draft() as draft:
            draft.mkdir()
            for name in FILES:
                self.lethe.download(version, name, draft / name)
            check_adapter(draft, base)
            self.shelf.place(draft, version)

    def _leased(self, base: str, name: Name, error: Unreachable) -> Record:
        """The local copy, if Lethe confirmed it a short while ago."""
        record = None if name.is_alias else self.shelf.record(str(name))
        if record is None or record.withdrawn or record.base != base:
            raise NotServed(f"Lethe cannot be reached ({error}), and there is no copy") from error
        if not 0 <= time.time() - record.confirmed_at <= self.settings.lease_s:
            raise NotServed(f"Lethe cannot be reached ({error}), and the copy's lease is over") from error
        log.warning("Lethe: %s is served from the local copy; Lethe cannot be reached (%s)", name, error)
        return record
