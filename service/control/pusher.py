"""Drive every replica to the version that its alias points at.

Each pass asks the database which replicas are due, because an alias has moved, a pause is over, or it is time to look
whether a server still has what it had. Replicas are worked on side by side; any number of pushers may run, and each
may die anywhere (`service.flows.push`, `service.hotswap.swap`).
"""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

from service.domain.errors import Fenced, LetheError
from service.domain.serving import SwapStep
from service.flows.push import (
    Failure,
    Job,
    Wanted,
    claim_replica,
    fail,
    note_step,
    prove,
    release,
    settle,
    unneeded_digests,
)
from service.flows.swap_receipt import Swapped
from service.flows.vault import Vault
from service.hotswap.directory import Directory
from service.hotswap.servers import ServerError, connect
from service.hotswap.swap import PATIENCE_S, Candidate, Plan, bring, digest_in, is_done, remove_withdrawn, swap
from service.store.database import Store

log = logging.getLogger(__name__)

SIDE_BY_SIDE = 32


class Stopped(Exception):
    """The process is to end. What was begun is gone on with by the next one."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Times in seconds.

    Args:
        lease_s: how long a silent pusher keeps a replica from others.
        check_s: how often a server is asked whether it still has what it had.
        patience_s: how long generations may go on with a version that is to be unloaded.
    """

    lease_s: float
    check_s: float
    patience_s: float = PATIENCE_S


class Pusher:
    """Drives replicas. `open_vault` is called for the first one, since a deployment's keys exist by then."""

    def __init__(self, store: Store, open_vault: Callable[[], Vault], directory: Directory, pace: Pace) -> None:
        self._store, self._open_vault, self._directory, self._pace = store, open_vault, directory, pace
        self._threads = ThreadPoolExecutor(SIDE_BY_SIDE, thread_name_prefix="pusher")
        self._under_way: dict[str, Future[None]] = {}
        self._stopping = threading.Event()

    def push_due(self) -> int:
        """Begin with the replicas that are due; returns how many. None is waited for."""
        self._under_way = {key: future for key, future in self._under_way.items() if not future.done()}
        with self._store.read() as unit:
            due = [replica_id for replica_id in unit.serving.due(unit.now) if replica_id not in self._under_way]
        if due:
            # Here, so that threads do not open it side by side.
            vault = self._vault
            for replica_id in due:
                self._under_way[replica_id] = self._threads.submit(self._push, vault, replica_id)
        return len(due)

    def wait(self) -> None:
        """Until what was begun has ended."""
        for future in self._under_way.values():
            future.result()

    def close(self) -> None:
        """End, each replica at its next step."""
        self._stopping.set()
        self._threads.shutdown(cancel_futures=True)

    @cached_property
    def _vault(self) -> Vault:
        return self._open_vault()

    def _push(self, vault: Vault, replica_id: str) -> None:
        try:
            with self._store.write() as unit:
                job = claim_replica(unit, vault, replica_id, lease_s=self._pace.lease_s)
            if job is not None:
                _Drive(self._store, vault, self._directory, self._pace, self._stopping, job).run()
                self._delete_unneeded()
        except Exception:
            log.exception("pusher: a replica was left as it is")

    def _delete_unneeded(self) -> None:
        """Delete files that no server can want. Nobody can begin to want them while their lines are locked."""
        here = self._directory.digests()
        with self._store.read() as unit:
            unneeded = unneeded_digests(unit, here)
        if unneeded:
            with self._store.write() as unit:
                for digest in unneeded_digests(unit, unneeded, lock=True):
                    self._directory.hide(digest)
        self._directory.sweep()


class _Drive:
    """One claimed replica, from what it serves to what it shall serve."""

    def __init__(
        self, store: Store, vault: Vault, directory: Directory, pace: Pace, stopping: threading.Event, job: Job
    ) -> None:
        self._store, self._vault, self._directory = store, vault, directory
        self._pace, self._stopping, self._job = pace, stopping, job
        self._plan = _plan(job)
        self._server = connect(job.kind, job.url, job.api_key)

    def run(self) -> None:
        try:
            self._serve()
        except Fenced:
            log.warning("pusher: another process has taken replica %s", self._job.replica_id)
        except Stopped:
            with suppress(Fenced), self._store.write() as unit:
                release(unit, self._job)
        finally:
            self._server.close()

    def _serve(self) -> None:
        """The stable version first, and then those on trial: whatever becomes of them does not undo it."""
        job, at_work = self._job, self._job.stable
        swapped: Swapped | None = None
        try:
            if job.is_settled and is_done(self._server, self._plan):
                self._settle()
                return
            if at_work is not None and at_work.id in job.refused:
                remove_withdrawn(self._server, self._plan, self._note, patience_s=self._pace.patience_s)
            else:
                swapped = self._swap()
            self._prove(swapped)
            for at_work in job.others:
                if at_work.id not in job.refused:
                    self._try_out(at_work)
            self._settle()
        except (Fenced, Stopped):
            raise
        except (ServerError, LetheError, OSError) as error:
            self._fail(_failure(error, at_work))

    def _swap(self) -> Swapped | None:
        if self._job.stable is not None:
            self._place(self._job.stable)
        proof = swap(self._server, self._plan, self._note, patience_s=self._pace.patience_s)
        return None if proof is None else Swapped(proof.outcome, proof.distances)

    def _try_out(self, wanted: Wanted) -> None:
        self._place(wanted)
        candidate = _candidate(self._job, wanted)
        bring(self._server, self._plan, candidate, self._note, patience_s=self._pace.patience_s)

    def _place(self, wanted: Wanted) -> None:
        self._directory.place(wanted.digest, wanted.prefix, wanted.files)

    def _note(self, step: SwapStep, name: str, *, overwritten: bool | None = None) -> None:
        if self._stopping.is_set():
            raise Stopped
        with self._store.write() as unit:
            note_step(unit, self._job, step, name, overwritten=overwritten, lease_s=self._pace.lease_s)

    def _prove(self, swapped: Swapped | None) -> None:
        if swapped is not None:
            with self._store.write() as unit:
                prove(unit, self._vault, self._job, swapped)

    def _settle(self) -> None:
        present = self._present()
        with self._store.write() as unit:
            settle(unit, self._job, present, check_s=self._pace.check_s)

    def _fail(self, failure: Failure) -> None:
        log.warning("pusher: replica %s: %s", self._job.replica_id, failure.code)
        try:
            present: set[str] | None = self._present()
        except ServerError:
            present = None
        with self._store.write() as unit:
            fail(unit, self._job, failure, present=present, check_s=self._pace.check_s)

    def _present(self) -> set[str]:
        """Names and digests of what the server has of the line."""
        names = self._plan.names(self._server)
        return {*names, *map(digest_in, names.values())}


def _failure(error: ServerError | LetheError | OSError, wanted: Wanted | None) -> Failure:
    match error:
        case ServerError():
            refused = wanted.id if error.permanent and wanted is not None else None
            return Failure(error.code, str(error), refused)
        case LetheError():
            return Failure(error.code, error.detail)
        case _:
            return Failure("files-unavailable", f"The files could not be put in place: {type(error).__name__}.")


def _plan(job: Job) -> Plan:
    return Plan(
        line=job.line,
        alias=f"{job.line}@{job.alias}",
        stable=None if job.stable is None else _candidate(job, job.stable),
        others=tuple(_candidate(job, wanted) for wanted in job.others if wanted.id not in job.refused),
        withdrawn={name: f"{job.mount}/{digest}" for name, digest in job.withdrawn.items()},
        mount=job.mount,
        precision=job.precision,
    )


def _candidate(job: Job, wanted: Wanted) -> Candidate:
    return Candidate(wanted.name, f"{job.mount}/{wanted.digest}", wanted.probe)
