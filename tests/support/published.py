"""Adapters of one's own choice as versions of a real deployment, without a worker."""

from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from service.domain.adapters import BaseModelRef, Policy, TrainingFormat
from service.domain.probes import Probe
from service.domain.runs import RunKind
from service.flows.add_version import VersionSource, add_version
from service.flows.lines import create_line
from service.flows.publish import publish_answer, publish_first_anchor
from service.flows.staged import StagedAnchor, StoredTree
from service.flows.withdraw import take_out
from tests.support.house import ACTOR, RECIPE, House, anchor_result, people, remove

POLICY = {"default_strategy": "influence", "influence_share": 0.5, "max_share": 0.6, "complete_at": "I"}


class Publisher:
    """Publishes directories as the versions of one line; each but the first answers the newest of `requests`."""

    def __init__(self, api: House, line: str, base: str) -> None:
        self.api, self.line, self._published = api, line, 0
        self.requests: list[str] = []
        with api.store.write() as unit:
            policy = Policy.model_validate(POLICY)
            self._line_id = create_line(unit, line, BaseModelRef(path=base), policy, actor=ACTOR).id

    def publish(self, directory: Path, probe: Probe | None = None) -> str:
        """The next version's id, `bot@v1`."""
        (self._first if self._published == 0 else self._next)(self._stored(directory), probe)
        self._published += 1
        return f"{self.line}@v{self._published}"

    def withdraw(self, version_id: str) -> None:
        """As the control loop does at the end of a grace period."""
        with self.api.store.write() as unit:
            version = unit.versions.by_number(self._line_id, int(version_id.rpartition("v")[2]))
            assert version is not None
            take_out(unit, unit.lines.lock(self._line_id), version, actor=ACTOR)

    def _stored(self, directory: Path) -> StoredTree:
        prefix = f"runs/{uuid4().hex}"
        return StoredTree(prefix, self.api.blobs.put_tree(directory, prefix))

    def _first(self, tree: StoredTree, probe: Probe | None) -> None:
        dataset = self.api.dataset(people(20))
        with self.api.store.write() as unit:
            source = VersionSource(RunKind.train, dataset, None, RECIPE, TrainingFormat())
            run_id = str(add_version(unit, self.line, source, actor=ACTOR).run_id)
        claimed = self.api.claim(run_id)
        assert claimed is not None
        with self.api.store.write() as unit:
            anchor = StagedAnchor(replace(anchor_result(), probe=probe), tree, self.api.tree())
            publish_first_anchor(unit, self.api.vault, claimed, anchor)

    def _next(self, tree: StoredTree, probe: Probe | None) -> None:
        self.requests.append(self.api.submit(remove(f"p{self._published}-0"), adapters=[self.line]))
        claimed = self.api.claim_queued(self._line_id)
        staged = replace(self.api.staged_answer(claimed, probe=probe), adapter=tree)
        with self.api.store.write() as unit:
            publish_answer(unit, self.api.vault, claimed, staged)
