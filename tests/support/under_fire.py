"""A line that is rebuilt while requests come and processes die: what was asked of it, and whether that is what became.

The test keeps its own account of what clients asked. `UnderFire.check` compares it with the ledger, with what can be
read, and with the weights that are served: they are those that a quiet deployment makes (`tests.support.quiet`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from service.domain.adapters import Recipe, Strategy
from service.domain.engine import TrainingSet
from service.domain.instances import Content
from service.domain.ledger import Edit, apply
from service.domain.operations import CorrectResponse, Remove
from service.domain.states import RequestState, TargetState, VersionState
from service.flows import decide, texts
from service.flows.assemble import training_set
from service.flows.compact import rebuild_now
from service.flows.strategy import policy_of
from service.store.database import Unit
from service.store.tables import LedgerEntry, Version
from tests.support.armed import until_quiet
from tests.support.deployment import Deployment
from tests.support.house import ACTOR
from tests.support.invariants import assert_nothing_lost
from tests.support.quiet import WEIGHTS, Quiet

ANSWERED = (RequestState.succeeded, RequestState.awaiting_rebuild)


@dataclass
class UnderFire:
    """A trained line, before anything was asked of it.

    `asked`: by request, the new content of each instance, None to remove it.
    """

    deployment: Deployment
    name: str
    line: str
    quiet: Quiet
    asked: dict[str, Mapping[str, Content | None]] = field(default_factory=dict)
    receipts: dict[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        with self.deployment.store.read() as unit:
            line = unit.lines.get(self.line)
            anchor = unit.versions.get(str(line.anchor_id))
            self.dataset = anchor.dataset_id
            self.data: TrainingSet = training_set(unit, self.deployment.vault, line, anchor, ())
            self.recipe, self.budget = Recipe.model_validate(anchor.recipe), policy_of(line).update_budget
            rows = unit.datasets.instances(self.dataset)
            self.texts = {row.instance_id: {row.text_id} for row in rows}
        self.contents = {example.id: example.content for example in self.data.examples}
        hashes = self.deployment.vault.hashes
        self._names = {hashes.pseudonym(self.dataset, name): name for name in self.contents}

    # What clients and operators do

    def ask(self, operation: Remove | CorrectResponse, strategy: Strategy = Strategy.influence) -> str:
        return self.note(self.deployment.submit(operation, adapters=[self.name], strategy=strategy), operation)

    def note(self, request: str, operation: Remove | CorrectResponse) -> str:
        """Somebody else filed a request."""
        if isinstance(operation, Remove):
            self.asked[request] = dict.fromkeys(operation.select.instance_ids or ())
        else:
            content = self.contents[operation.instance_id].with_completion(operation.completion)
            self.asked[request] = {operation.instance_id: content}
        self.receipts[request] = self.deployment.request(request).receipt
        with self.deployment.store.read() as unit:
            for edit in unit.targets.edits([target.id for target in unit.targets.of_request(request)]):
                if edit.text_id is not None:
                    self.texts[self._name(edit.instance_id)].add(edit.text_id)
        return request

    def cancel(self, request: str) -> None:
        with self.deployment.store.write() as unit:
            decide.cancel(unit, request, actor=ACTOR)

    def hold(self, request: str) -> None:
        with self.deployment.store.write() as unit:
            decide.hold(unit, request, actor=ACTOR, reason=None)

    def release(self, request: str) -> None:
        with self.deployment.store.write() as unit:
            decide.release(unit, request, actor=ACTOR)

    def rebuild(self) -> str:
        with self.deployment.store.write() as unit:
            return rebuild_now(unit, self.name, actor=ACTOR).id

    def in_state(self, *states: RequestState) -> list[str]:
        return [request for request in self.asked if self.deployment.request(request).state in states]

    # Whether that is what became

    def settle(self) -> None:
        """Until nothing is left to be done, but for what is on hold."""

        def is_settled(unit: Unit) -> bool:
            requests = [unit.requests.get(request) for request in self.asked]
            return all(r is not None and (r.on_hold or r.finished_at is not None) for r in requests)

        self.deployment.until(is_settled)
        until_quiet(self.deployment)

    def check(self) -> None:
        """To be called when everything is settled."""
        held = [request for request in self.asked if self.deployment.request(request).on_hold]
        told = {request: receipt for request, receipt in self.receipts.items() if request not in held}
        assert_nothing_lost(self.deployment, told)
        assert_nothing_lost(self.deployment, {request: self.receipts[request] for request in held}, settled=False)
        with self.deployment.store.read() as unit:
            entries = unit.ledger.of_line(self.line)
            served = self._check_ledger(unit, entries)
            for request in held:
                assert_untouched(unit, request)
            baked = self._edits(unit, [entry for entry in entries if entry.baked_id is not None])
            tail = self._edits(unit, [entry for entry in entries if entry.baked_id is None])
            self._check_texts(unit, baked, served, held)
            check_derived(unit, self.line)
            self._check_weights(unit, baked, tail)

    def _check_ledger(self, unit: Unit, entries: Sequence[LedgerEntry]) -> dict[str, Content | None]:
        """Exactly what was answered is in the ledger; returns what becomes of the instances."""
        answered = [request for request in self.asked if self.deployment.request(request).state in ANSWERED]
        of = {target.id: request for request in self.asked for target in unit.targets.of_request(request)}
        found = {(of[e.target_id], self._name(e.instance_id)) for e in entries}
        assert {request for request, _ in found} <= set(answered), "what was never answered had an effect"
        removed = {name for request in answered for name, new in self.asked[request].items() if new is None}
        for request in answered:
            for name in self.asked[request]:
                assert (request, name) in found or name in removed, "an answered request had no effect"
        in_ledger = {self._name(e.instance_id) for e in entries if e.text_id is None}
        assert in_ledger == removed
        corrected = {name: new for request in answered for name, new in self.asked[request].items()}
        return {**corrected, **dict.fromkeys(removed)}

    def _edits(self, unit: Unit, entries: Sequence[LedgerEntry]) -> dict[str, Content | None]:
        """What these entries make of their instances, in the words of who asked."""
        of = {target.id: request for request in self.asked for target in unit.targets.of_request(request)}
        pairs = [(of[entry.target_id], self._name(entry.instance_id)) for entry in entries]
        edits = {name: self.asked[request][name] for request, name in pairs}
        return {**edits, **{name: None for request, name in pairs if self.asked[request][name] is None}}

    def _check_texts(
        self,
        unit: Unit,
        baked: Mapping[str, Content | None],
        served: Mapping[str, Content | None],
        held: Sequence[str],
    ) -> None:
        """What the anchor was trained without cannot be read any more, under any name; everything else can."""
        vault, rows = self.deployment.vault, {row.instance_id: row for row in unit.datasets.instances(self.dataset)}
        for name, text_ids in self.texts.items():
            left = {key for key, row in unit.texts.many(text_ids).items() if row.wrapped_key is not None}
            if name in baked and baked[name] is None:
                assert not left, f"{name} was erased and can be read"
                assert name not in rows, f"{name} was erased and is named"
            else:
                assert name in rows
                readable = texts.contents(unit, vault, left).values()
                assert baked.get(name, self.contents[name]) in readable, f"{name} is trained on and cannot be read"
                if baked.get(name) is not None and served.get(name) is not None:
                    assert self.contents[name] not in readable, f"{name} was corrected and its old text can be read"
        for request in held:
            said = {operation.text_id for operation in unit.requests.operations(request)}
            assert all(row.wrapped_key is not None for row in unit.texts.many(said).values()), "it was forgotten"

    def _check_weights(
        self, unit: Unit, baked: Mapping[str, Content | None], tail: Mapping[str, Content | None]
    ) -> None:
        """The anchor and the version that is served are what trainings and updates make of this ledger."""
        line, data = unit.lines.get(self.line), self._without(baked)
        anchor, head = unit.versions.get(str(line.anchor_id)), unit.versions.get(str(line.head_id))
        assert weights(anchor) == self.quiet.anchor(data, self.recipe), "the anchor was trained on something else"
        if tail:
            edits = [Edit(name, new) for name, new in tail.items()]
            solved = self.quiet.answer(data, self.recipe, edits, budget=self.budget)
            assert weights(head) == solved, "the tail was not solved on this anchor"
        alias = unit.lines.alias(self.line, "production")
        assert alias is not None
        assert alias.version_id == head.id
        for version in unit.versions.of_line(self.line, VersionState.ready):
            assert version.ledger_seq == line.ledger_head or version.withdraw_at is not None, "it remembers, for good"

    def _without(self, baked: Mapping[str, Content | None]) -> TrainingSet:
        """The training set after these edits."""
        after = apply(self.contents, [Edit(name, new) for name, new in baked.items()])
        kept = [(e, slot) for e, slot in zip(self.data.examples, self.data.slots, strict=True) if e.id in after]
        examples = tuple(type(e)(e.id, after[e.id], e.subject) for e, _ in kept)
        return TrainingSet(
            self.data.base, self.data.format, examples, tuple(slot for _, slot in kept), self.data.slot_count, ()
        )

    def _name(self, instance_id: str) -> str:
        """The name that an instance had."""
        return self._names.get(instance_id, instance_id)


def assert_untouched(unit: Unit, request: str) -> None:
    targets = unit.targets.of_request(request)
    assert {target.state for target in targets} == {TargetState.queued}
    assert all(target.version_id is None and target.claim_level is None for target in targets)
    assert not unit.requests.certificates(request)


def check_derived(unit: Unit, line_id: str) -> None:
    """Of all that was derived from training data only what belongs to the present anchor can be read."""
    anchor = unit.versions.get(str(unit.lines.get(line_id).anchor_id))
    assert unit.trees.open_of_line(line_id) == [anchor.artefacts_prefix]


def weights(version: Version) -> str:
    return str((version.files or {})[WEIGHTS]["sha256"])
