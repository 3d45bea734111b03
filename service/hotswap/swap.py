"""Bring a replica from whatever it serves of a line to what it shall serve.

In this order: what was withdrawn goes first. Then the new version is loaded under its own name, proven by its
answers, and the alias's name is moved to it; only then the older versions' generations are waited for, their weights
overwritten, their names unloaded. Files are deleted when no replica wants them (`service.hotswap.directory`).

Each step looks at the server first, so a swap may end anywhere and be begun again from the start:

- A version is never loaded over another one under its own name, so that a failed load harms nobody. The alias's name
  is, and a misfit found half-way leaves a mixture under it; what is not proven under that name is unloaded.
- Unloading leaves copies in memory, and loading the new version over the old one leaves one of the new in its place.
  So zeros of the same shape are loaded over the old weights, and then the name is unloaded.
- Files must outlive the names: a server that reads an evicted adapter again ends if they are gone.
"""

import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from service.domain.probes import TOLERANCE, Probe, ProbeOutcome, distances_from, judge
from service.domain.serving import Precision, SwapStep
from service.hotswap.servers.contract import AdapterRefused, NotVisible, Server, ServerError

# Generations that take longer go on with zeros in place of the adapter, that is, with the base model.
PATIENCE_S = 30.0
POLL_S = 0.5
BLANK = ".blank"
_DISPROVEN = frozenset({ProbeOutcome.base, ProbeOutcome.previous, ProbeOutcome.unrecognised})


class NotProven(ServerError):
    """The server took the adapter and answers like something else."""

    code = "not-proven"
    permanent = True


class NoProbe(ServerError):
    """Nothing could tell whether the server uses the version."""

    code = "no-probe"
    permanent = True


@dataclass(frozen=True, slots=True)
class Candidate:
    """A version that a replica shall serve. `path`: its directory as the server sees it.

    `probe`: None if it was published before versions had any; such a one is not served.
    """

    name: str
    path: str
    probe: Probe | None


@dataclass(frozen=True, slots=True)
class Proof:
    """How the answers compare: what they are, and their mean distances (nats) from what they could be."""

    outcome: ProbeOutcome
    distances: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a replica shall serve of one line.

    Args:
        line: its name. Whatever the server calls `line@…` and is not wanted will be unloaded.
        alias: the name that leads to `stable`; only servers that load in place have it.
        stable: the version that the alias points at; None if nothing shall be served.
        others: versions on trial beside it.
        withdrawn: paths of versions that must not be served, by name.
        mount: the directory of versions as the server sees it.
    """

    line: str
    alias: str
    stable: Candidate | None
    others: tuple[Candidate, ...]
    withdrawn: Mapping[str, str]
    mount: str
    precision: Precision

    @property
    def wanted(self) -> tuple[Candidate, ...]:
        return self.others if self.stable is None else (self.stable, *self.others)

    def names(self, server: Server) -> dict[str, str]:
        """The paths of what the server has of this line, by name."""
        prefix = f"{self.line}@"
        return {name: path for name, path in server.adapters().items() if name.startswith(prefix)}

    def expected(self, server: Server) -> dict[str, str]:
        """The paths of what it shall have, by name."""
        names = {candidate.name: candidate.path for candidate in self.wanted}
        if self.stable is not None and server.in_place:
            names[self.alias] = self.stable.path
        return names

    def blanks(self, path: str) -> Iterator[str]:
        """Directories of zeros that may take the place of what was loaded from `path`, the likeliest first."""
        plain = path.removesuffix(BLANK)
        if re.fullmatch(rf"{re.escape(self.mount)}/[0-9a-f]{{64}}", plain):
            yield plain + BLANK
        yield from (candidate.path + BLANK for candidate in self.wanted if candidate.path != plain)


class Note(Protocol):
    """Called before each step, to keep it; whatever it raises ends the swap there.

    `overwritten`: of a name that is about to be unloaded, whether its weights were overwritten.
    """

    def __call__(self, step: SwapStep, name: str, *, overwritten: bool | None = None) -> None: ...


def digest_in(path: str) -> str:
    """Whose directory a path is, or whose zeros it holds."""
    return path.rpartition("/")[2].removesuffix(BLANK)


def is_done(server: Server, plan: Plan) -> bool:
    """Whether the server has what it shall have and nothing else of the line. Costs one call."""
    return plan.names(server) == plan.expected(server)


def swap(server: Server, plan: Plan, note: Note, *, patience_s: float = PATIENCE_S) -> Proof | None:
    """Do all that is left to do but for what is on trial; the proof of the stable version, if there is one.

    Raises:
        ServerError: versions that are not withdrawn are served as before; the new one, if at all, under its own name.
    """
    remove_withdrawn(server, plan, note, patience_s=patience_s)
    proof = None
    if plan.stable is not None:
        proof = bring(server, plan, plan.stable, note, patience_s=patience_s)
        if server.in_place and plan.stable.probe is not None:
            _flip(server, plan, plan.stable, plan.stable.probe, note, patience_s)
    keep = plan.expected(server)
    for name in sorted(plan.names(server).keys() - keep.keys()):
        _remove(server, plan, name, note, patience_s)
    return proof


def remove_withdrawn(server: Server, plan: Plan, note: Note, *, patience_s: float = PATIENCE_S) -> None:
    """Unload what must not be served, under whatever name it is. Raises ServerError."""
    paths = set(plan.withdrawn.values()) - {candidate.path for candidate in plan.wanted}
    for name, path in plan.names(server).items():
        if name in plan.withdrawn or path in paths:
            _remove(server, plan, name, note, patience_s)


def bring(server: Server, plan: Plan, candidate: Candidate, note: Note, *, patience_s: float = PATIENCE_S) -> Proof:
    """Load a version under its name, unless it is there, and prove it. Raises ServerError."""
    if candidate.probe is None:
        raise NoProbe("The version was published before versions had probes. Rebuild the line: the new one has one.")
    present = plan.names(server).get(candidate.name)
    if present not in (None, candidate.path):
        # The zeros of a removal that was cut off, or somebody else's directory.
        _remove(server, plan, candidate.name, note, patience_s)
        present = None
    if present is None:
        note(SwapStep.load, candidate.name)
        server.load(candidate.name, candidate.path)
    return _prove(server, plan, candidate.name, candidate.probe, note, patience_s)


def _flip(server: Server, plan: Plan, stable: Candidate, probe: Probe, note: Note, patience_s: float) -> None:
    """Move the alias's name. Running generations under it go on with the new weights."""
    present = plan.names(server).get(plan.alias)
    note(SwapStep.flip, plan.alias)
    try:
        if present is None:
            server.load(plan.alias, stable.path)
        else:
            # Even where it has this path already: that may be what a failed load left half overwritten.
            server.replace(plan.alias, stable.path)
    except AdapterRefused:
        _remove(server, plan, plan.alias, note, patience_s)
        raise
    _prove(server, plan, plan.alias, probe, note, patience_s)


def _prove(server: Server, plan: Plan, name: str, probe: Probe, note: Note, patience_s: float) -> Proof:
    """Raises NotProven, having unloaded the name."""
    note(SwapStep.probe, name)
    try:
        answers = server.answers(name, probe.prompts)
    except AdapterRefused:
        _remove(server, plan, name, note, patience_s)
        raise
    outcome = judge(probe, answers, TOLERANCE[plan.precision])
    if outcome in _DISPROVEN:
        _remove(server, plan, name, note, patience_s)
        raise NotProven(f"The answers to the probe are those of: {outcome}.")
    return Proof(outcome, distances_from(probe, answers))


def _remove(server: Server, plan: Plan, name: str, note: Note, patience_s: float) -> None:
    """Wait for a name's generations, overwrite its weights, unload it."""
    path = plan.names(server).get(name)
    if path is None:
        return
    _drain(server, name, note, patience_s)
    overwritten = None
    if server.in_place:
        note(SwapStep.overwrite, name)
        overwritten = path.endswith(BLANK) or _overwrite(server, plan, name, path)
    note(SwapStep.unload, name, overwritten=overwritten)
    server.unload(name)


def _drain(server: Server, name: str, note: Note, patience_s: float) -> None:
    deadline = time.monotonic() + patience_s
    note(SwapStep.drain, name)
    while not server.is_idle(name) and time.monotonic() < deadline:
        time.sleep(POLL_S)
        note(SwapStep.drain, name)


def _overwrite(server: Server, plan: Plan, name: str, path: str) -> bool:
    """Whether zeros lie where the weights lay."""
    for blank in plan.blanks(path):
        try:
            server.replace(name, blank)
        except (AdapterRefused, NotVisible):
            continue
        return True
    return False
