"""The supervisor: takes runs from RQ, holds their leases, and has the engine child compute them.

It imports no torch, so a crash of the device or a SIGKILL of the child costs one attempt and never
the worker. RQ's timeouts, retries and callbacks are not used: the database decides what is done.
"""

import logging
import math
import os
import shutil
from pathlib import Path

from service.domain.engine import (
    Anchor,
    AnchorResult,
    EngineFailure,
    FailureClass,
    FoldResult,
    ImportJob,
    InfluenceJob,
    InfluenceResult,
    Job,
    OutOfFoldJob,
    Progress,
    Result,
    TrainJob,
    Yielded,
)
from service.domain.errors import Fenced
from service.domain.runs import Lane, RunKind
from service.domain.states import RunState
from service.flows.assemble import assemble, replaced, tail_edits
from service.flows.claim import Claim, claim
from service.flows.fail import TAIL_UNSOLVED, fail, hand_back, make_room
from service.flows.fence import fenced_run
from service.flows.leave_out import must_make_room, publish_fold
from service.flows.progress import report_progress
from service.flows.publish import TailMoved, publish_answer, publish_first_anchor, publish_rebuild
from service.flows.staged import StagedAnchor, StagedAnswer, StagedFold, StoredTree
from service.flows.strategy import policy_of
from service.flows.trees import keys, seal_tree
from service.flows.vault import Vault
from service.settings import Settings
from service.store.blobs import Blobs
from service.store.database import Store
from service.store.local_cache import LocalCache
from workers.engine_process import GIB, EngineProcess, EngineUnavailable, Overstayed
from workers.host_memory import total_bytes
from workers.lease import Lease
from workers.meter import ProgressMeter

log = logging.getLogger(__name__)

# How long a fold may go on while other work waits: it yields between epochs only, and an epoch may take hours.
FOLD_PATIENCE_S = 30.0
# Of all main memory, what the engine child may take: before the kernel has to choose whom it ends.
MEMORY_SHARE = 0.9


class Stopping(Exception):
    """The worker was asked to end; the run goes back to the queue."""


class Supervisor:
    """Executes one run at a time. `stopping` is set by the signal handler."""

    def __init__(self, settings: Settings, store: Store, vault: Vault, blobs: Blobs, *, name: str) -> None:
        self._settings, self._store, self._vault, self._blobs = settings, store, vault, blobs
        self._name, self._staging = name, settings.home / "staging"
        self._cache = LocalCache(settings.home / "cache", blobs, keys(store, vault))
        share = settings.engine_memory_gib
        memory_bytes = MEMORY_SHARE * total_bytes() if share is None else share * GIB
        self._engine = EngineProcess({**os.environ, **settings.environment()}, memory_bytes=memory_bytes)
        self.stopping = False

    def execute(self, run_id: str) -> None:
        """Claim a run and carry it to its end. A hint that came late or twice does nothing.

        Raises:
            EngineUnavailable: this worker cannot compute; the run is back in the queue.
        """
        with self._store.write("claim") as unit:
            claimed = claim(unit, self._vault, run_id, worker=self._name, lease_s=self._settings.lease_s)
        if claimed is None:
            return
        staging = self._staging / f"{run_id}-{claimed.fence}"
        lease = Lease(self._store, claimed, lease_s=self._settings.lease_s, heartbeat_s=self._settings.heartbeat_s)
        try:
            with lease:
                staging.mkdir(parents=True)
                self._carry_out(claimed, staging, lease)
        except Fenced:
            log.warning("run %s: the lease was lost", run_id)
        except Stopping:
            self._hand_back(claimed, reason="worker-stopped")
        except Overstayed:
            self._hand_back(claimed, reason="yielded")
        except EngineUnavailable:
            self._hand_back(claimed, reason="engine-unavailable")
            raise
        except Exception as error:
            log.exception("run %s failed", run_id)
            self._fail(claimed, EngineFailure(FailureClass.transient, "worker-error", type(error).__name__))
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def forget(self) -> None:
        """Drop what was derived from data that are gone, from this machine's disk and from the child's memory.

        May be called from any thread, at any time.
        """
        self._clear_staging()
        cached = self._cache.prefixes()
        with self._store.read() as unit:
            shredded = [prefix for prefix, row in unit.trees.many(cached).items() if row.wrapped_key is None]
            anchors = unit.lines.anchors()
        for prefix in shredded:
            self._cache.evict(prefix)
        self._cache.sweep()
        self._engine.keep(anchors)

    def close(self) -> None:
        """End the child."""
        self._engine.kill()

    def _clear_staging(self) -> None:
        """Delete what dead workers of this machine were working on: it holds plain text derivatives.

        A worker that died is taken for alive until its lease ends, so once is not enough.
        """
        # Listed first: a claim is committed before its place is made, so what is seen below is not older.
        places = list(self._staging.glob("*"))
        with self._store.read() as unit:
            for place in places:
                run_id, _, fence = place.name.rpartition("-")
                run = unit.runs.get(run_id)
                if run is None or run.state is not RunState.running or str(run.fence) != fence:
                    shutil.rmtree(place, ignore_errors=True)

    def _carry_out(self, claimed: Claim, staging: Path, lease: Lease) -> None:
        with self._store.read() as unit:
            job = assemble(unit, self._vault, claimed, materialise=self._cache.materialise, out=staging)
            frozen = fenced_run(unit, claimed.run_id, claimed.fence).frozen_seq or 0
        result = self._compute(claimed, job, lease)
        if isinstance(result, EngineFailure):
            self._fail(claimed, result)
        elif isinstance(result, Yielded):
            self._keep_checkpoint(claimed, staging)
        elif isinstance(result, FoldResult):
            fold = StagedFold(result, self._seal(staging / "fold", f"{_prefix(claimed)}/fold"))
            with self._store.write("fold") as unit:
                publish_fold(unit, claimed, fold)
        elif isinstance(result, InfluenceResult):
            assert isinstance(job, InfluenceJob), "updates come from influence jobs"
            answer = self._stage_answer(claimed, job, result, frozen)
            with self._store.write("answer") as unit:
                publish_answer(unit, self._vault, claimed, answer)
        elif claimed.kind in (RunKind.train, RunKind.import_):
            anchor = self._stage_anchor(claimed, staging, result)
            with self._store.write("anchor") as unit:
                publish_first_anchor(unit, self._vault, claimed, anchor)
        else:
            assert isinstance(job, TrainJob | ImportJob), "anchors come from training or import"
            self._publish_rebuild(claimed, job, result, lease)

    def _compute(self, claimed: Claim, job: Job, lease: Lease) -> Result:
        meter = ProgressMeter()

        def on_progress(progress: Progress) -> None:
            share = meter.worth_telling(progress)
            if share is not None:
                with self._store.write("progress") as unit:
                    report_progress(unit, claimed.run_id, claimed.fence, progress.stage, share)

        def watch() -> None:
            lease.check()
            if self.stopping:
                raise Stopping

        return self._engine.run(
            job,
            on_progress=on_progress,
            watch=watch,
            wants_yield=lambda: isinstance(job, TrainJob | OutOfFoldJob) and self._must_make_room(claimed),
            deadline_s=self._settings.run_deadline_s,
            patience_s=FOLD_PATIENCE_S if isinstance(job, OutOfFoldJob) else math.inf,
        )

    def _must_make_room(self, claimed: Claim) -> bool:
        """Folds make room for everything, rebuilds for quick updates; first trainings have nothing to answer from."""
        with self._store.read() as unit:
            if claimed.kind is RunKind.out_of_fold:
                return must_make_room(unit, claimed)
            pool = self._settings.worker_pool
            return claimed.kind is RunKind.rebuild and unit.runs.any_waiting(pool, (Lane.answer,), unit.now)

    def _publish_rebuild(self, claimed: Claim, job: TrainJob | ImportJob, result: AnchorResult, lease: Lease) -> None:
        """Publish the new anchor; as long as requests were answered meanwhile, solve them on it first."""
        anchor = self._stage_anchor(claimed, job.out, result)
        answer: StagedAnswer | None = None
        while True:
            with self._store.write("rebuild") as unit:
                moved = publish_rebuild(unit, self._vault, claimed, anchor, answer)
            if moved is None:
                return
            tail = self._tail_job(claimed, job, moved)
            solved = self._compute(claimed, tail, lease)
            if not isinstance(solved, InfluenceResult) or solved.passed is False:
                self._discard(claimed, solved)
                return
            if answer is not None:
                self._blobs.delete_tree(answer.adapter.prefix)
            answer = self._stage_answer(claimed, tail, solved, moved.head)

    def _tail_job(self, claimed: Claim, job: TrainJob | ImportJob, moved: TailMoved) -> InfluenceJob:
        """What was published since the rebuild froze its part, to be solved on the new anchor."""
        with self._store.read() as unit:
            run = fenced_run(unit, claimed.run_id, claimed.fence)
            line = unit.lines.get(claimed.line_id)
            edits = tail_edits(unit, self._vault, line, run.frozen_seq or 0)
            budget = policy_of(line).update_budget
            replaces = replaced(unit, line, self._cache.materialise)
        known = {example.id for example in job.data.examples}
        return InfluenceJob(
            anchor=Anchor(
                key=f"{claimed.run_id}-{claimed.fence}",
                data=job.data,
                recipe=job.recipe,
                adapter=job.out / "adapter",
                artefacts=job.out / "anchor",
            ),
            edits=tuple(edit for edit in edits if edit.instance_id in known),
            out=job.out / f"tail-{moved.head}",
            budget=budget,
            replaces=replaces,
        )

    def _stage_anchor(self, claimed: Claim, out: Path, result: AnchorResult) -> StagedAnchor:
        prefix = _prefix(claimed)
        return StagedAnchor(
            result,
            adapter=self._put(out / "adapter", f"{prefix}/adapter"),
            artefacts=self._seal(out / "anchor", f"{prefix}/anchor"),
        )

    def _stage_answer(self, claimed: Claim, job: InfluenceJob, result: InfluenceResult, solved: int) -> StagedAnswer:
        prefix = f"{_prefix(claimed)}/{job.out.name}/answer"
        adapter = self._put(job.out / "adapter", prefix)
        return StagedAnswer(result, adapter, anchor_id=str(claimed.anchor_id), solved_seq=solved)

    def _put(self, directory: Path, prefix: str) -> StoredTree:
        return StoredTree(prefix, self._blobs.put_tree(directory, prefix))

    def _seal(self, directory: Path, prefix: str) -> StoredTree:
        return seal_tree(self._vault, self._blobs, directory, prefix)

    def _keep_checkpoint(self, claimed: Claim, staging: Path) -> None:
        """A rebuild or a fold made room: store where it goes on, and queue it behind what waits."""
        tree = self._seal(staging / "checkpoint", f"{_prefix(claimed)}/checkpoint")
        with self._store.write("make_room") as unit:
            previous = make_room(unit, claimed, tree)
        if previous is not None:
            self._blobs.delete_tree(previous)

    def _hand_back(self, claimed: Claim, *, reason: str) -> None:
        with self._store.write("hand_back") as unit:
            hand_back(unit, fenced_run(unit, claimed.run_id, claimed.fence), reason=reason, counts=False)

    def _fail(self, claimed: Claim, failure: EngineFailure) -> None:
        with self._store.write("fail") as unit:
            fail(unit, claimed, failure)

    def _discard(self, claimed: Claim, result: Result) -> None:
        """The tail could not be solved on the new anchor: the rebuild is lost, the old anchor stays."""
        failure = EngineFailure(FailureClass.transient, TAIL_UNSOLVED, "The ledger's tail failed on the new anchor.")
        self._fail(claimed, result if isinstance(result, EngineFailure) else failure)


def _prefix(claimed: Claim) -> str:
    """Where a claim stores what it made: no other claim, not even of the same run, writes there."""
    return f"runs/{claimed.run_id}/{claimed.fence}"
