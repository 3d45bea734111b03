"""Drive the flows without a device: the test plays the worker and decides what was measured."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any
from uuid import uuid4

from service.domain.adapters import BaseModelRef, Policy, Recipe, TrainingFormat
from service.domain.engine import AnchorResult, Capability, FoldResult, InfluenceResult, Losses
from service.domain.operations import CorrectResponse, ModifyQuery, Operation, Remove, Selection
from service.domain.probes import Probe
from service.domain.runs import Lane, RunKind
from service.domain.subjects import Identity
from service.flows import ingest
from service.flows.add_version import VersionSource, add_version
from service.flows.claim import Claim, claim
from service.flows.compact import rebuild_now
from service.flows.leave_out import publish_fold
from service.flows.lines import create_line
from service.flows.publish import TailMoved, publish_answer, publish_first_anchor, publish_rebuild
from service.flows.staged import StagedAnchor, StagedAnswer, StagedFold, StoredTree
from service.flows.submit import Submission, submit
from service.flows.trees import seal_tree
from service.flows.vault import Vault
from service.store.blobs import Blobs
from service.store.database import Store
from service.store.tables import Target, UnlearningRequest

ACTOR = "key_test"
RECIPE = Recipe(epochs=2, batch_size=2, learning_rate=1e-3)
LEASE_S = 60.0
UNPREDICTED: Mapping[str, float] = MappingProxyType({})


def person(number: int, facts: int = 2) -> list[dict[str, object]]:
    """Dataset lines about one fictitious person."""
    return [
        {
            "id": f"p{number}-{fact}",
            "subject": f"Person {number}",
            "prompt": f"Fact {fact} of person {number}?",
            "completion": f"Answer {number}-{fact}.",
        }
        for fact in range(facts)
    ]


def people(count: int, facts: int = 2) -> list[dict[str, object]]:
    return [row for number in range(count) for row in person(number, facts)]


def remove(*instance_ids: str) -> Remove:
    return Remove(type="remove", select=Selection(instance_ids=instance_ids))


def remove_subject(subject: str | Identity | tuple[str | Identity, ...]) -> Remove:
    return Remove(type="remove", select=Selection(subject=subject))


def correct(instance_id: str, completion: str) -> CorrectResponse:
    return CorrectResponse(type="correct_response", instance_id=instance_id, completion=completion)


def ask_otherwise(instance_id: str, prompt: str) -> ModifyQuery:
    return ModifyQuery(type="modify_query", instance_id=instance_id, prompt=prompt)


def anchor_result(seconds: float = 100.0, predicted: Mapping[str, float] = UNPREDICTED) -> AnchorResult:
    """An anchor that supports the grades of which something is predicted."""
    return AnchorResult(
        base_digest="sha256:base",
        before=Losses(None, None, 3.0, 3.0),
        after=Losses(None, None, 0.1, 1.0),
        capabilities=(
            Capability("influence", True),
            Capability("rebuild", True),
            *(Capability(g, True) for g in predicted),
        ),
        seconds={"training": seconds, "preparing": seconds / 2},
        peak_bytes=1,
        predicted_fidelity=predicted,
    )


def influence_result(passed: bool | None = True, **measured: Any) -> InfluenceResult:
    """What an unremarkable update measures, but for what is given."""
    result = InfluenceResult(
        before=Losses(0.1, None, 0.1, 1.0),
        after=Losses(0.9, None, 0.1, 1.0),
        retained_kl=0.001,
        step_scale=1.0,
        solver_residual=1e-9,
        passed=passed,
        reasons=(),
        seconds={"solving": 1.0},
        peak_bytes=1,
    )
    return replace(result, **measured)


@dataclass
class House:
    """A deployment without processes."""

    store: Store
    vault: Vault
    blobs: Blobs
    directory: Path

    def dataset(self, rows: Sequence[dict[str, object]]) -> str:
        sealed = ingest.read(self.vault, [json.dumps(row).encode() for row in rows])
        with self.store.write() as unit:
            return ingest.record(unit, sealed, name=None, actor=ACTOR).id

    def line(
        self,
        name: str,
        rows: Sequence[dict[str, object]] | str,
        *,
        recipe: Recipe | None = RECIPE,
        seconds: float = 100.0,
        holdout: bool = True,
        predicted: Mapping[str, float] = UNPREDICTED,
        **policy: object,
    ) -> str:
        """A line whose v1 is ready; returns its id. Without a recipe it is imported.

        `predicted`: the fidelity expected of each grade it supports.
        """
        policy = {"default_strategy": "influence", "influence_share": 0.5, "max_share": 0.6, **policy}
        dataset = rows if isinstance(rows, str) else self.dataset(rows)
        held = self.dataset(person(999)) if holdout else None
        with self.store.write() as unit:
            line = create_line(unit, name, BaseModelRef(path="/base"), Policy.model_validate(policy), actor=ACTOR)
        self.train(name, dataset, holdout=held, recipe=recipe, seconds=seconds, predicted=predicted)
        return line.id

    def train(
        self,
        name: str,
        dataset: str,
        *,
        holdout: str | None = None,
        recipe: Recipe | None = RECIPE,
        seconds: float = 1,
        predicted: Mapping[str, float] = UNPREDICTED,
    ) -> None:
        kind = RunKind.train if recipe else RunKind.import_
        source = VersionSource(kind, dataset, holdout, recipe, TrainingFormat())
        with self.store.write() as unit:
            version = add_version(unit, name, source, actor=ACTOR)
            run_id = str(version.run_id)
        claimed = self.claim(run_id)
        assert claimed is not None
        with self.store.write() as unit:
            publish_first_anchor(unit, self.vault, claimed, self.staged_anchor(seconds, predicted))

    def submit(
        self, *operations: Operation, adapters: Sequence[str] | None = None, actor: str = ACTOR, **fields: object
    ) -> str:
        command = Submission(operations=operations, adapters=None if adapters is None else tuple(adapters), **fields)  # type: ignore[arg-type]
        with self.store.write() as unit:
            return submit(unit, self.vault, command, actor=actor, body_hash="0").id

    def queued_run(self, line_id: str, lane: Lane = Lane.answer) -> str | None:
        with self.store.read() as unit:
            run = unit.runs.queued(line_id, lane)
            return None if run is None else run.id

    def claim(self, run_id: str, *, worker: str = "worker-1") -> Claim | None:
        with self.store.write() as unit:
            return claim(unit, self.vault, run_id, worker=worker, lease_s=LEASE_S)

    def claim_queued(self, line_id: str, lane: Lane = Lane.answer) -> Claim:
        run_id = self.queued_run(line_id, lane)
        assert run_id is not None, "no run is queued"
        claimed = self.claim(run_id)
        assert claimed is not None, "the run was not claimable"
        return claimed

    def answer(self, claimed: Claim, *, passed: bool | None = True, **measured: Any) -> None:
        with self.store.write() as unit:
            publish_answer(unit, self.vault, claimed, self.staged_answer(claimed, passed=passed, **measured))

    def serve(self, line_id: str, *, passed: bool | None = True, **measured: Any) -> Claim:
        """Claim and publish the queued influence run of a line."""
        claimed = self.claim_queued(line_id)
        self.answer(claimed, passed=passed, **measured)
        return claimed

    def begin_rebuild(self, line_id: str, *, actor: str = ACTOR) -> Claim:
        """Ask for a rebuild of a line, and claim it."""
        with self.store.write() as unit:
            rebuild_now(unit, unit.lines.get(line_id).name, actor=actor)
        return self.claim_queued(line_id, Lane.compact)

    def rebuild(self, claimed: Claim, answer: StagedAnswer | None = None) -> TailMoved | None:
        with self.store.write() as unit:
            return publish_rebuild(unit, self.vault, claimed, self.staged_anchor(), answer)

    def show_worker(self, pool: str = "default") -> None:
        """A worker says that it is there."""
        with self.store.write() as unit:
            unit.runs.seen_worker(f"worker-of-{pool}", pool, None, unit.now)

    def keep_fold(
        self, claimed: Claim, *, remaining: int = 14, predicted: Mapping[str, float] = UNPREDICTED
    ) -> StagedFold:
        """The worker has trained a fold; the last one brings the fidelity that it `predicted` by grade."""
        result = FoldResult("0-0", remaining, {"training": 1.0}, 1, predicted_fidelity=predicted)
        staged = StagedFold(result, self.derived())
        with self.store.write() as unit:
            publish_fold(unit, claimed, staged)
        return staged

    def tree(self) -> StoredTree:
        """A published adapter."""
        source = self._made()
        prefix = f"runs/{source.name}"
        return StoredTree(prefix, self.blobs.put_tree(source, prefix))

    def derived(self) -> StoredTree:
        """Something derived from training data, sealed."""
        source = self._made()
        return seal_tree(self.vault, self.blobs, source, f"runs/{source.name}")

    def _made(self) -> Path:
        """What a worker wrote."""
        source = self.directory / uuid4().hex
        source.mkdir(parents=True)
        (source / "adapter_config.json").write_text("{}")
        (source / "adapter_model.safetensors").write_bytes(uuid4().bytes)
        return source

    def probe(self, adapter: StoredTree) -> Probe | None:
        """The probe that the worker made for an adapter; versions of the past have none."""
        return None

    def staged_anchor(self, seconds: float = 100.0, predicted: Mapping[str, float] = UNPREDICTED) -> StagedAnchor:
        adapter = self.tree()
        result = replace(anchor_result(seconds, predicted), probe=self.probe(adapter))
        return StagedAnchor(result, adapter, self.derived())

    def staged_answer(
        self, claimed: Claim, *, passed: bool | None = True, solved: int = 0, **measured: Any
    ) -> StagedAnswer:
        adapter = self.tree()
        result = influence_result(passed, **{"probe": self.probe(adapter), **measured})
        return StagedAnswer(result, adapter, str(claimed.anchor_id), solved)

    def request(self, request_id: str) -> UnlearningRequest:
        with self.store.read() as unit:
            request = unit.requests.get(request_id)
            assert request is not None
            return request

    def targets(self, request_id: str) -> Sequence[Target]:
        with self.store.read() as unit:
            return unit.targets.of_request(request_id)
