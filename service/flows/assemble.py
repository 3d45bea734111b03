"""Turn a claim into a job for the engine: unsealed texts, paths of materialised files, canonical edits."""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from service.domain.adapters import Recipe, TrainingFormat
from service.domain.engine import (
    Anchor,
    Base,
    Example,
    ImportJob,
    InfluenceJob,
    Job,
    OutOfFoldJob,
    Published,
    TrainingSet,
    TrainJob,
)
from service.domain.instances import Content
from service.domain.ledger import Edit
from service.domain.runs import RunKind
from service.flows import texts
from service.flows.claim import Claim
from service.flows.idle import is_last_fold
from service.flows.strategy import policy_of
from service.flows.training_data import dataset_of, edited, present
from service.flows.vault import Vault
from service.store.database import Unit
from service.store.tables import LedgerEntry, Line, Version

Materialise = Callable[[str], Path]
"""Brings the blob tree under a prefix onto this machine and returns its directory."""


def assemble(unit: Unit, vault: Vault, claim: Claim, *, materialise: Materialise, out: Path) -> Job:
    """The job of a claimed run. It holds plain text: it stays in memory and never enters a queue."""
    line, run = unit.lines.get(claim.line_id), unit.runs.get(claim.run_id)
    assert run is not None, "claims refer to existing runs"
    if claim.kind in (RunKind.train, RunKind.import_):
        return _first_anchor(unit, vault, line, unit.versions.get(str(run.version_id)), materialise, out)
    anchor = unit.versions.get(str(claim.anchor_id))
    resume = None if run.checkpoint is None else materialise(run.checkpoint)
    if claim.kind is RunKind.out_of_fold:
        return OutOfFoldJob(
            data=training_set(unit, vault, line, anchor, ()),
            recipe=Recipe.model_validate(anchor.recipe),
            done=_folds(anchor, materialise),
            out=out,
            budget=policy_of(line).update_budget,
            anchor=load_anchor(unit, vault, line, anchor, materialise) if is_last_fold(anchor) else None,
            resume=resume,
        )
    edits = run_edits(unit, vault, claim)
    if claim.kind is RunKind.influence:
        return InfluenceJob(
            anchor=load_anchor(unit, vault, line, anchor, materialise),
            edits=edits,
            out=out,
            budget=policy_of(line).update_budget,
            replaces=replaced(unit, line, materialise),
        )
    data = training_set(unit, vault, line, anchor, edits, forgotten=_forgotten_subjects(unit, claim))
    if claim.kind is RunKind.collapse:
        head = unit.versions.get(str(line.head_id))
        return ImportJob(
            data=data,
            adapter=materialise(str(head.blob_prefix)),
            record=None,
            recipe=None,
            expected_losses=None,
            out=out,
            trusted=True,
            replaces=replaced(unit, line, materialise),
        )
    return TrainJob(
        data=data,
        recipe=Recipe.model_validate(anchor.recipe),
        out=out,
        resume=resume,
        replaces=replaced(unit, line, materialise),
    )


def run_edits(unit: Unit, vault: Vault, claim: Claim) -> tuple[Edit, ...]:
    """The canonical ledger this run solves for: published entries since the anchor, then its members' edits.

    But for those of instances that the anchor was trained without: somebody else removed them first.
    """
    run = unit.runs.get(claim.run_id)
    assert run is not None, "claims refer to existing runs"
    head = run.frozen_seq if claim.kind is RunKind.rebuild else None
    entries = unit.ledger.of_line(claim.line_id)
    tail = [entry for entry in entries if entry.baked_id is None and (head is None or entry.seq <= head)]
    erased = {entry.instance_id for entry in entries if entry.baked_id is not None and entry.text_id is None}
    members = [target.id for target in unit.targets.of_run(claim.run_id)]
    pairs = [(entry.instance_id, entry.text_id) for entry in tail]
    # A removal is final: a correction accepted in the same window must not bring the instance back.
    gone = {instance_id for instance_id, text_id in pairs if text_id is None}
    edits = [edit for edit in unit.targets.edits(members) if edit.instance_id not in erased]
    asked = [(edit.instance_id, edit.text_id) for edit in edits]
    gone |= {instance_id for instance_id, text_id in asked if text_id is None}
    return texts.edits(unit, vault, [(i, None if i in gone else t) for i, t in [*pairs, *asked]])


def tail_edits(unit: Unit, vault: Vault, line: Line, after_seq: int) -> tuple[Edit, ...]:
    """The canonical ledger published after a rebuild froze its part."""
    tail = _tail(unit.ledger.of_line(line.id), after_seq)
    return texts.edits(unit, vault, [(entry.instance_id, entry.text_id) for entry in tail])


def load_anchor(unit: Unit, vault: Vault, line: Line, anchor: Version, materialise: Materialise) -> Anchor:
    """An anchor with its data and files, as the engine keeps it resident."""
    return Anchor(
        key=anchor.id,
        data=training_set(unit, vault, line, anchor, ()),
        recipe=None if anchor.recipe is None else Recipe.model_validate(anchor.recipe),
        adapter=materialise(str(anchor.blob_prefix)),
        artefacts=materialise(str(anchor.artefacts_prefix)),
        out_of_fold=_folds(anchor, materialise),
    )


def replaced(unit: Unit, line: Line, materialise: Materialise) -> tuple[Published, ...]:
    """What servers may still use when the next version comes: the newest one, and the anchor, which remembers most."""
    found = [unit.versions.find(version_id) for version_id in dict.fromkeys((line.head_id, line.anchor_id))]
    return tuple(
        Published(f"{line.name}@v{version.number}", materialise(version.blob_prefix))
        for version in found
        if version is not None and version.blob_prefix is not None
    )


def _folds(anchor: Version, materialise: Materialise) -> tuple[Path, ...]:
    return tuple(materialise(fold["prefix"]) for fold in anchor.out_of_fold or ())


def training_set(
    unit: Unit,
    vault: Vault,
    line: Line,
    version: Version,
    edits: Sequence[Edit],
    *,
    forgotten: Collection[str] = (),
) -> TrainingSet:
    """What `version` was trained on, with further edits applied. Slots keep the dataset's order.

    `forgotten`: keyed hashes of subjects that the holdout is not to speak of, besides those suppressed already.
    """
    dataset = dataset_of(unit, version)
    baked = [entry for entry in unit.ledger.of_line(line.id) if entry.baked_id is not None]
    now = edited(baked, dataset.id)
    further: dict[str, Content | None] = {edit.instance_id: edit.new for edit in edits}
    rows = [row for row in present(unit, dataset.id, now) if further.get(row.instance_id, "kept") is not None]
    stored = {row.instance_id: now.text_id(row) for row in rows if row.instance_id not in further}
    known = texts.contents(unit, vault, stored.values())
    subjects = unit.datasets.subjects(dataset.id)
    examples = tuple(
        Example(
            row.instance_id,
            further.get(row.instance_id) or known[stored[row.instance_id]],
            subjects.get(row.instance_id),
        )
        for row in rows
    )
    return TrainingSet(
        base=Base(line.base_path, line.base_revision, line.base_digest),
        format=TrainingFormat.model_validate(version.training_format),
        examples=examples,
        slots=tuple(row.position for row in rows),
        slot_count=dataset.instance_count,
        holdout=_holdout(unit, vault, line, version.holdout_id, forgotten),
    )


def _first_anchor(
    unit: Unit, vault: Vault, line: Line, version: Version, materialise: Materialise, out: Path
) -> TrainJob | ImportJob:
    edits = _unbaked(unit, vault, line, version) if version.source.get("rolls_forward") else ()
    data = training_set(unit, vault, line, version, edits)
    recipe = None if version.recipe is None else Recipe.model_validate(version.recipe)
    if version.kind == RunKind.train:
        assert recipe is not None, "training needs a recipe"
        return TrainJob(data=data, recipe=recipe, out=out, replaces=replaced(unit, line, materialise))
    source = version.source
    return ImportJob(
        data=data,
        adapter=materialise(source["archive"]),
        record=materialise(source["record"]) if source.get("record") else None,
        recipe=recipe,
        expected_losses=source.get("expected_losses"),
        out=out,
        replaces=replaced(unit, line, materialise),
    )


def _forgotten_subjects(unit: Unit, claim: Claim) -> set[str]:
    """The subjects that this run's members ask to be forgotten."""
    requests = {target.request_id for target in unit.targets.of_run(claim.run_id)}
    return unit.requests.subjects(requests)


def _holdout(
    unit: Unit, vault: Vault, line: Line, dataset_id: str | None, forgotten: Collection[str]
) -> tuple[Example, ...]:
    """The holdout, but for what it says of those who asked to be forgotten."""
    if dataset_id is None:
        return ()
    left_out = unit.datasets.suppressed_ids(dataset_id, line.id)
    left_out |= unit.datasets.ids_of_subjects(dataset_id, forgotten)
    rows = [row for row in unit.datasets.instances(dataset_id) if row.instance_id not in left_out]
    sealed = unit.texts.many(row.text_id for row in rows)
    rows = [row for row in rows if sealed[row.text_id].wrapped_key is not None]
    known = texts.contents(unit, vault, [row.text_id for row in rows])
    return tuple(Example(row.instance_id, known[row.text_id]) for row in rows)


def _unbaked(unit: Unit, vault: Vault, line: Line, version: Version) -> tuple[Edit, ...]:
    """What was published since the line's anchor of the dataset that `version` is trained on."""
    tail = [e for e in unit.ledger.of_line(line.id) if e.baked_id is None and e.dataset_id == version.dataset_id]
    return texts.edits(unit, vault, [(entry.instance_id, entry.text_id) for entry in tail])


def _tail(entries: Sequence[LedgerEntry], after_seq: int) -> list[LedgerEntry]:
    return [entry for entry in entries if entry.baked_id is None and entry.seq > after_seq]
