"""From an alias to a directory on this host, vouched for by a key that was pinned before."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pydantic import ValidationError

from service.domain.errors import Corrupted
from service.domain.probes import Probe
from service.evidence.model_verification import ModelKeys, verify_model_signature
from service.hotswap.directory import place_blank
from service.hotswap.swap import BLANK, Candidate
from service.hotswap.vllm_plugin.fetch import Fetcher
from service.hotswap.vllm_plugin.lethe import Damaged, Lethe, Version
from service.hotswap.vllm_plugin.names import Name
from service.hotswap.vllm_plugin.settings import Settings
from service.hotswap.vllm_plugin.shelf import Shelf


@dataclass(frozen=True, slots=True)
class Pulled:
    """A version that may be served, and the lock that keeps its files from being removed until it is closed."""

    candidate: Candidate
    lock: BinaryIO


class Puller:
    """Pulls versions for one server.

    Args:
        base: what Lethe calls the server's base model.
        mount: where the server sees the shelf's `content`.
    """

    def __init__(
        self, settings: Settings, lethe: Lethe, shelf: Shelf, keys: ModelKeys, base: str, mount: Path
    ) -> None:
        self._lethe, self._shelf, self._keys, self._base, self.mount = lethe, shelf, keys, base, mount
        self._fetcher = Fetcher(settings, lethe, shelf, vouch=self._vouch)

    def on_trial(self, line: str, alias: str) -> str | None:
        """Which version is on trial beside the one that an alias points at. Raises Unreachable, Refused, Damaged."""
        return self._lethe.on_trial(line, alias)

    def pull(self, line: str, selector: str, *, is_alias: bool) -> Pulled:
        """A version, or the one that an alias points at now.

        Raises:
            NotServed: there is none, it is another base model's, or its signature does not hold.
            Unreachable, Refused, Damaged: its probe cannot be had.
        """
        placed = self._fetcher.fetch(self._base, Name(line, selector, is_alias=is_alias))
        try:
            place_blank(placed.directory)
            probe = self._probe(placed.version)
        except BaseException:
            placed.lock.close()
            raise
        return Pulled(Candidate(placed.version.id, self.path(placed.version), probe), placed.lock)

    def path(self, version: Version) -> str:
        """Where the server sees a version."""
        return str(self.mount / self._shelf.directory(version).name)

    def withdrawn(self, line: str) -> Mapping[str, str]:
        """The paths of a line's versions that were here and must not be served any more, by name."""
        return {
            record.version.id: self.path(record.version)
            for record in self._shelf.records()
            if record.withdrawn and record.version.digest and record.version.id.startswith(f"{line}@")
        }

    def sweep(self) -> None:
        """Delete the zeros of versions that are gone."""
        for blank in self._shelf.content.glob(f"*{BLANK}"):
            if not blank.with_name(blank.name.removesuffix(BLANK)).exists():
                shutil.rmtree(blank, ignore_errors=True)

    def _vouch(self, version: Version) -> None:
        try:
            signed = verify_model_signature(self._lethe.signature(version), self._keys, version.id)
        except Corrupted as error:
            raise Damaged(f"its signature does not hold: {error}") from error
        if signed != {name: file.sha256 for name, file in version.files.items()}:
            raise Damaged("its signature is that of other files")

    def _probe(self, version: Version) -> Probe:
        try:
            return Probe.model_validate(self._lethe.probe(version))
        except ValidationError as error:
            raise Damaged("its probe is malformed") from error
