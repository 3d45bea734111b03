"""Find what a request's operations mean on every line: which instances, and what becomes of each.

A removal takes exact duplicates of the removed instances along. A correction is applied to the
instance's present text, so corrections of one instance add up over requests.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from service.domain.errors import AlreadyRemoved, Conflict, InvalidInput, NotFound, SelectsNothing
from service.domain.instances import Content
from service.domain.operations import CorrectResponse, ModifyQuery, Operation, Remove
from service.domain.subjects import NO_KIND, DigestKind, Identity
from service.flows import texts
from service.flows.lines import check_in_service
from service.flows.training_data import Edited, dataset_of, edited, source_version
from service.flows.vault import Vault
from service.store.database import Unit
from service.store.tables import Dataset, InstanceRow, Line, Version


@dataclass(slots=True)
class LineMatch:
    """What the operations do to one line. `edits`: instance id to its new content, None to remove it."""

    line: Line
    version: Version
    dataset: Dataset
    present_count: int
    edits: dict[str, Content | None] = field(default_factory=dict)
    duplicates: set[str] = field(default_factory=set)

    @property
    def share(self) -> float:
        """The part of the line's present training data that the request touches."""
        return len(self.edits) / max(1, self.present_count)

    @property
    def removes_all(self) -> bool:
        return len(self.edits) >= self.present_count and all(new is None for new in self.edits.values())


@dataclass(frozen=True, slots=True)
class Matching:
    """All matched lines, and the lines where a subject could not be looked up for want of an index."""

    matches: tuple[LineMatch, ...]
    unindexed: tuple[str, ...]


def match(
    unit: Unit,
    vault: Vault,
    operations: Sequence[Operation],
    adapters: Sequence[str] | None,
    *,
    within: Collection[str] | None = None,
) -> Matching:
    """Resolve operations against the named lines, or against every line in service.

    `within`: the lines that the caller can see; None for all.

    Raises:
        SelectsNothing: there is no operation, or one selects nothing.
        NotFound: an unknown adapter, or an instance that no candidate line holds.
        AlreadyRemoved: an instance left every candidate line that held it.
        InvalidInput, Conflict: a correction that cannot be made; Conflict also where a named line is retired.
    """
    _check_operations(operations)
    matchers = [_Matcher(unit, vault, line, version) for line, version in _candidates(unit, adapters, within)]
    for group in _grouped(operations):
        held = {instance_id for matcher in matchers for instance_id in matcher.apply(group)}
        for position, operation in group.items():
            _check_found(operation, held, matchers, f"/operations/{position}")
    return Matching(
        tuple(matcher.match for matcher in matchers if matcher.match.edits),
        tuple(matcher.match.line.name for matcher in matchers if matcher.unindexed),
    )


def _grouped(operations: Sequence[Operation]) -> Iterator[dict[int, Operation]]:
    """Operations by position, in order: removals that follow each other at once, and each correction by itself."""
    removals: dict[int, Operation] = {}
    for position, operation in enumerate(operations):
        if isinstance(operation, Remove):
            removals[position] = operation
            continue
        if removals:
            yield removals
            removals = {}
        yield {position: operation}
    if removals:
        yield removals


def _check_operations(operations: Sequence[Operation]) -> None:
    if not operations:
        raise SelectsNothing("The request holds no operation.", field="/operations", fix="Name at least one.")
    for position, operation in enumerate(operations):
        if isinstance(operation, Remove) and operation.select.instance_ids == ():
            raise SelectsNothing(
                "The selection is empty.",
                field=f"/operations/{position}/select/instance_ids",
                fix="List at least one instance id, or select by subject.",
            )


def _candidates(
    unit: Unit, adapters: Sequence[str] | None, within: Collection[str] | None
) -> list[tuple[Line, Version]]:
    if adapters is None:
        lines = [line for line in unit.lines.active() if within is None or line.name in within]
    else:
        lines = [_named(unit, name, position, within) for position, name in enumerate(dict.fromkeys(adapters))]
    found = [(line, source_version(unit, line)) for line in lines]
    for line, version in found:
        if version is None and adapters is not None:
            raise Conflict(
                "The adapter line has no trained or imported version yet.",
                field="/adapters",
                fix="Train or import a version first.",
                code="no-version",
                extra={"adapter": line.name},
            )
    return [(line, version) for line, version in found if version is not None]


def _named(unit: Unit, name: str, position: int, within: Collection[str] | None) -> Line:
    line = unit.lines.by_name(name)
    if line is None or (within is not None and name not in within):
        raise NotFound(
            "There is no such adapter line.",
            field=f"/adapters/{position}",
            fix="List the lines with GET /v1/adapters.",
            code="unknown-adapter",
        )
    check_in_service(line, field=f"/adapters/{position}")
    return line


def _check_found(operation: Operation, held: set[str], matchers: "list[_Matcher]", pointer: str) -> None:
    wanted, field_ = _named_instances(operation, pointer)
    for position, instance_id in enumerate(wanted):
        if instance_id in held:
            continue
        place = f"{field_}/{position}" if isinstance(operation, Remove) else field_
        if any(instance_id in matcher.seen_removed for matcher in matchers):
            raise AlreadyRemoved(
                "The instance was removed by an earlier request.", field=place, fix="Leave it out of this request."
            )
        raise NotFound(
            "No candidate adapter line was trained on this instance.",
            field=place,
            fix="Check the id against the dataset, and `adapters` against the line.",
            code="unknown-instance",
        )


def _named_instances(operation: Operation, pointer: str) -> tuple[Sequence[str], str]:
    if isinstance(operation, Remove):
        return operation.select.instance_ids or (), f"{pointer}/select/instance_ids"
    return (operation.instance_id,), f"{pointer}/instance_id"


def _is_indexed(dataset: Dataset, identity: Identity) -> bool:
    """Whether a data subject who is not found by this identifier is not there.

    Rows that do not say what their identifiers are may name any kind; rows that do name no other. Nobody is found by
    a digest of another kind than those that all rows can be found by.
    """
    if dataset.subject_kinds is None:
        return dataset.subjects_indexed and identity.value is not None
    digests = [DigestKind.sha256] if dataset.subject_digests is None else dataset.subject_digests
    if identity.value is None and identity.known_by.isdisjoint(digests):
        return False
    wanted = dataset.subject_kinds if identity.kind is None else (identity.kind, NO_KIND)
    return any(kind in dataset.subject_kinds for kind in wanted)


class _Matcher:
    """Applies operations, in order, to one line."""

    def __init__(self, unit: Unit, vault: Vault, line: Line, version: Version) -> None:
        self._unit, self._vault = unit, vault
        dataset = dataset_of(unit, version)
        removed = unit.ledger.removed_count(line.id, dataset.id)
        self.match = LineMatch(line, version, dataset, dataset.instance_count - removed)
        self.seen_removed: set[str] = set()
        self.unindexed = False

    def apply(self, operations: Mapping[int, Operation]) -> set[str]:
        """Note the effect of removals, or of a correction; returns the instances that this line holds of them."""
        removals = [operation for operation in operations.values() if isinstance(operation, Remove)]
        named = dict.fromkeys(name for removal in removals for name in removal.select.instance_ids or ())
        rows = self._rows([*named, *self._of_subjects(removals, but=named)])
        self._remove(rows)
        for position, operation in operations.items():
            if not isinstance(operation, Remove):
                rows = self._rows([operation.instance_id])
                for row in rows.values():
                    self._correct(row, operation, f"/operations/{position}")
        return set(rows)

    def _rows(self, instance_ids: Sequence[str]) -> dict[str, InstanceRow]:
        """Those instances that this line is still trained on."""
        rows = self._unit.datasets.some(self.match.dataset.id, instance_ids)
        self._note_erased(name for name in instance_ids if name not in rows)
        now = self._edited(rows)
        gone = {instance_id for instance_id in rows if now.is_removed(instance_id)}
        self.seen_removed |= gone
        return {instance_id: row for instance_id, row in rows.items() if instance_id not in gone}

    def _note_erased(self, instance_ids: Iterable[str]) -> None:
        """Recognise instances by the pseudonyms that took the place of their ids."""
        dataset_id = self.match.dataset.id
        names = {self._vault.hashes.pseudonym(dataset_id, name): name for name in instance_ids}
        self.seen_removed |= {names[pseudonym] for pseudonym in self._unit.datasets.some(dataset_id, names)}

    def _edited(self, instance_ids: Iterable[str]) -> Edited:
        """What the line's ledger says of these instances."""
        dataset_id = self.match.dataset.id
        return edited(self._unit.ledger.of_instances(self.match.line.id, dataset_id, instance_ids), dataset_id)

    def _of_subjects(self, removals: Sequence[Remove], *, but: Collection[str]) -> list[str]:
        """The instances of the data subjects that removals name."""
        dataset, lookups = self.match.dataset, set[str]()
        for identities in dict.fromkeys(removal.select.identities for removal in removals):
            if any(_is_indexed(dataset, identity) for identity in identities):
                lookups.update(name for one in identities for name in self._vault.hashes.subject_lookups(one))
            elif identities:
                self.unindexed = True
        return sorted(self._unit.datasets.ids_of_subjects(dataset.id, lookups).difference(but))

    def _remove(self, rows: dict[str, InstanceRow]) -> None:
        dataset_id = self.match.dataset.id
        hashes = {row.content_hash for row in rows.values()}
        others = [i for i in self._unit.datasets.duplicates(dataset_id, hashes) if i not in rows]
        corrected = self._edited(others).text_ids
        copies = self._rows([instance_id for instance_id in others if instance_id not in corrected])
        self.match.duplicates |= set(copies)
        self.match.edits.update(dict.fromkeys([*rows, *copies]))

    def _correct(self, row: InstanceRow, operation: ModifyQuery | CorrectResponse, pointer: str) -> None:
        field_ = f"{pointer}/{'prompt' if isinstance(operation, ModifyQuery) else 'completion'}"
        old = self._present_content(row, pointer)
        if isinstance(operation, ModifyQuery):
            new = old.with_prompt(operation.prompt)
        else:
            if not operation.completion.strip():
                raise InvalidInput(
                    "The completion is empty.",
                    field=field_,
                    fix="Give the correct response, or remove the instance.",
                    code="empty-completion",
                )
            new = old.with_completion(operation.completion)
        if new == old:
            raise InvalidInput(
                "The correction equals the present text.", field=field_, fix="Leave it out.", code="no-change"
            )
        self.match.edits[row.instance_id] = new

    def _present_content(self, row: InstanceRow, pointer: str) -> Content:
        instance_id = row.instance_id
        planned = self.match.edits.get(instance_id)
        if planned is not None:
            return planned
        open_edits = self._unit.targets.open_edits(self.match.line.id, [instance_id])
        pending = {edit.instance_id: edit.text_id for edit in open_edits}
        if instance_id in self.match.edits or pending.get(instance_id, "") is None:
            raise AlreadyRemoved(
                "The instance is removed by this or by an open request.", field=pointer, fix="Drop one of the two."
            )
        if pending:
            raise Conflict(
                "An open request already corrects this instance.",
                field=pointer,
                fix="Wait until that request is published, or cancel it.",
                code="correction-pending",
            )
        text_id = self._edited([instance_id]).text_id(row)
        return texts.contents(self._unit, self._vault, [text_id])[text_id]
