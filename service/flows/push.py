"""What a replica shall serve, and what became of it. The pusher does the work between these transactions.

A claim gives a replica to one pusher for the length of a lease and counts a fence up; whoever comes with an older
fence writes nothing. Which versions may be on a replica is written before they are loaded and taken back after they
were unloaded, so that files are deleted only when no server can want them.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from service.domain.errors import Fenced
from service.domain.probes import Probe
from service.domain.serving import Precision, ServerKind, SwapStep, pause_before
from service.domain.states import VersionState
from service.flows.serving_targets import api_key_of, drop_target
from service.flows.swap_receipt import Swapped, sign_swap
from service.flows.vault import Vault
from service.store.database import Unit
from service.store.tables import Alias, Line, Replica, Version

_GONE = (VersionState.withdrawn, VersionState.quarantined)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A version to be served. `digest`: 64 hex digits. `probe`: None if it was published before versions had any."""

    id: str
    name: str
    digest: str
    prefix: str
    files: Mapping[str, object]
    probe: Probe | None


@dataclass(frozen=True, slots=True)
class Job:
    """A claimed replica, and what it shall serve.

    Args:
        stable: what the alias points at; None if nothing shall be served.
        others: versions on trial.
        withdrawn: digests of versions that must not be served, by name.
        is_settled: whether the last look found all as it shall be, and the same is wanted still.
        refused: ids of wanted versions that the server has refused for good.
        is_leaving: whether the replica is to be emptied and forgotten.
    """

    replica_id: str
    fence: int
    kind: ServerKind
    url: str
    api_key: str | None = field(repr=False)
    line: str
    alias: str
    mount: str
    precision: Precision
    stable: Wanted | None
    others: tuple[Wanted, ...]
    withdrawn: Mapping[str, str]
    is_settled: bool
    refused: frozenset[str]
    is_leaving: bool

    @property
    def wanted(self) -> tuple[Wanted, ...]:
        return self.others if self.stable is None else (self.stable, *self.others)


@dataclass(frozen=True, slots=True)
class Failure:
    """`refused`: the version that the server will never take; None if it is worth another try."""

    code: str
    detail: str
    refused: str | None = None


def claim_replica(unit: Unit, vault: Vault, replica_id: str, *, lease_s: float) -> Job | None:
    """Take a replica; None if it is gone or another pusher has it."""
    row = unit.serving.lock(replica_id)
    if row is None or (row.lease_until is not None and row.lease_until >= unit.now):
        return None
    target = unit.serving.target_of(row)
    # What is wanted is written under the line's lock, and files are deleted under it.
    line = unit.lines.lock(row.line_id)
    alias = None if target.leaving_at is not None else unit.lines.alias(line.id, target.alias)
    stable, others = (None, []) if alias is None else _followed(unit, alias)
    _desire(unit, row, None if alias is None else alias.version_id)
    refused = _still_refused(row, [version for version in (stable, *others) if version is not None])
    wanted = {version.id for version in (stable, *others) if version is not None}
    row.held = sorted({*row.held, *wanted} - refused)
    row.fence += 1
    row.lease_until = unit.now + timedelta(seconds=lease_s)
    gone = unit.versions.of_line(line.id, *_GONE)
    return Job(
        replica_id=row.id,
        fence=row.fence,
        kind=target.kind,
        url=row.url,
        api_key=api_key_of(vault, target),
        line=line.name,
        alias=target.alias,
        mount=target.mount,
        precision=target.precision,
        stable=None if stable is None else _wanted(line, stable),
        others=tuple(_wanted(line, version) for version in others),
        withdrawn={_name(line, version): _hex(version) for version in gone if version.digest},
        is_settled=row.proven_id == (None if stable is None else stable.id)
        and row.step is None
        and (row.attempts == 0 or bool(refused)),
        refused=refused,
        is_leaving=target.leaving_at is not None,
    )


def note_step(
    unit: Unit, job: Job, step: SwapStep, name: str, *, overwritten: bool | None = None, lease_s: float
) -> None:
    """Write down what is about to be done, and keep the lease. Raises Fenced."""
    row = _fenced(unit, job)
    row.step, row.lease_until = step, unit.now + timedelta(seconds=lease_s)
    if step is SwapStep.unload:
        row.removed = {**row.removed, name: overwritten}


def prove(unit: Unit, vault: Vault, job: Job, swapped: Swapped) -> None:
    """The replica answers like the stable version, and what had to go before is gone: keep that, and sign it once.

    Raises:
        Fenced: another pusher has taken the replica.
    """
    row, stable = _fenced(unit, job), job.stable
    assert stable is not None, "only what shall be served is proven"
    version = unit.versions.get(stable.id)
    row.proven_id, row.proven_at, row.outcome = version.id, unit.now, swapped.outcome
    if not unit.serving.has_receipt(row.id, version.id):
        sign_swap(unit, vault, unit.lines.get(row.line_id), row, version, swapped)


def settle(unit: Unit, job: Job, present: Collection[str], *, check_s: float) -> None:
    """The replica serves what it shall, as far as it can.

    Args:
        present: names and digests of what the server was seen to have of the line.

    Raises:
        Fenced: another pusher has taken the replica.
    """
    row = _fenced(unit, job)
    if job.is_leaving:
        _let_go(unit, row)
        return
    row.held = _held(unit, unit.lines.get(row.line_id), job, present)
    _release(unit, row, check_s)
    if not job.refused:
        row.error, row.attempts = None, 0
    _forget_what_is_gone(row)


def fail(
    unit: Unit,
    job: Job,
    failure: Failure,
    *,
    present: Collection[str] | None,
    check_s: float,
) -> None:
    """The replica does not serve what it shall. It is tried again, unless that is hopeless.

    Args:
        present: as for `settle`; None if the server could not be asked.

    Raises:
        Fenced: another pusher has taken the replica.
    """
    row = _fenced(unit, job)
    line = unit.lines.get(row.line_id)
    refused = job.refused if failure.refused is None else job.refused | {failure.refused}
    known = row.error is not None and (row.error["code"], row.error["refused"]) == (failure.code, sorted(refused))
    row.attempts += 1
    row.error = {"code": failure.code, "detail": failure.detail, "refused": sorted(refused)}
    _release(unit, row, check_s if failure.refused else pause_before(row.attempts))
    if present is not None:
        row.held = _held(unit, line, replace(job, refused=refused), present)
        _forget_what_is_gone(row)
    if not known:
        permanent = failure.refused is not None
        unit.emit("replica.failed", adapter=line.name, replica=row.id, code=failure.code, permanent=permanent)


def release(unit: Unit, job: Job) -> None:
    """Give the replica back in the middle of it, to be taken up at once. Raises Fenced."""
    row = _fenced(unit, job)
    row.lease_until, row.due_at = None, unit.now


def unneeded_digests(unit: Unit, digests: Collection[str], *, lock: bool = False) -> set[str]:
    """Those of these digests whose files no server can want. `lock`: it stays so until the transaction ends."""
    versions = unit.versions.with_digests(f"sha256:{digest}" for digest in digests)
    if lock:
        for line_id in sorted({version.line_id for version in versions}):
            unit.lines.lock(line_id)
    held = unit.serving.held()
    return set(digests) - {_hex(version) for version in versions if version.id in held}


def _followed(unit: Unit, alias: Alias) -> tuple[Version | None, list[Version]]:
    """The version that an alias points at and those on trial there, as far as they are in service."""
    stable, tried = unit.versions.get(alias.version_id), unit.versions.find(alias.canary_id)
    others = [tried] if tried is not None and tried.id != stable.id else []
    return (
        stable if stable.state is VersionState.ready else None,
        [version for version in others if version.state is VersionState.ready],
    )


def _desire(unit: Unit, row: Replica, desired: str | None) -> None:
    if row.desired_id != desired:
        row.desired_id, row.desired_at, row.attempts, row.error = desired, unit.now, 0, None


def _wanted(line: Line, version: Version) -> Wanted:
    probe = None if version.probe is None else Probe.model_validate(version.probe)
    return Wanted(
        version.id, _name(line, version), _hex(version), str(version.blob_prefix), version.files or {}, probe
    )


def _name(line: Line, version: Version) -> str:
    return f"{line.name}@v{version.number}"


def _hex(version: Version) -> str:
    return str(version.digest).removeprefix("sha256:")


def _still_refused(row: Replica, wanted: Sequence[Version]) -> frozenset[str]:
    """Those of the wanted versions that were refused for good. An error about others is over."""
    if row.error is None or not row.error["refused"]:
        return frozenset()
    refused = frozenset(row.error["refused"]) & {version.id for version in wanted}
    if not refused:
        row.error, row.attempts = None, 0
    return refused


def _held(unit: Unit, line: Line, job: Job, present: Collection[str]) -> list[str]:
    """What can be on the server: the wanted ones, and those of which a name or a path was seen."""
    seen = [
        version.id
        for version in unit.versions.of_line(line.id)
        if version.digest and (_name(line, version) in present or _hex(version) in present)
    ]
    return sorted({*seen, *({version.id for version in job.wanted} - job.refused)})


def _forget_what_is_gone(row: Replica) -> None:
    if row.proven_id is not None and row.proven_id not in row.held:
        row.proven_id = row.proven_at = row.outcome = None


def _release(unit: Unit, row: Replica, pause_s: float) -> None:
    row.step, row.lease_until, row.checked_at = None, None, unit.now
    row.due_at = unit.now + timedelta(seconds=pause_s)


def _let_go(unit: Unit, row: Replica) -> None:
    target = unit.serving.target_of(row)
    unit.serving.remove(row)
    if not unit.serving.replicas_of(target.id):
        drop_target(unit, target, actor="lethe")


def _fenced(unit: Unit, job: Job) -> Replica:
    row = unit.serving.lock(job.replica_id)
    if row is None or row.fence != job.fence:
        raise Fenced("Another process has taken the replica.")
    return row
