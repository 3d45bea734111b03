"""Start a line's next anchor: train it here, or import one trained elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass

from service.domain.adapters import LoraSpec, Recipe, TrainingFormat
from service.domain.errors import Busy, InvalidInput, Suppressed
from service.domain.ids import new_id
from service.domain.runs import Lane, RunKind
from service.domain.states import VersionState
from service.flows.fit import check_fits
from service.flows.lines import check_in_service
from service.flows.lookup import find_dataset, find_line
from service.flows.new_version import take_number
from service.store.database import Unit
from service.store.tables import Line, Version


@dataclass(frozen=True, slots=True)
class VersionSource:
    """Where a new anchor comes from. Of imports only: `archive` and `record`, blob prefixes of checked uploads, and
    `lora`, the form of the adapter.

    `rolls_forward`: number of the version whose recipe is trained anew, with the line's ledger replayed.
    """

    kind: RunKind
    dataset: str
    holdout: str | None
    recipe: Recipe | None
    training_format: TrainingFormat
    archive: str | None = None
    record: str | None = None
    lora: LoraSpec | None = None
    expected_losses: Mapping[str, float] | None = None
    rolls_forward: int | None = None


def add_version(unit: Unit, adapter: str, source: VersionSource, *, actor: str) -> Version:
    """A version in preparation and the run that will make it.

    Raises:
        NotFound: unknown line or dataset.
        InvalidInput: dataset and holdout share instance ids, or the adapter does not fit the line's servers.
        Conflict: the line is retired.
        Suppressed: the dataset holds instances or subjects that were erased before.
        Busy: the line is training, importing or rebuilding already, or has open requests.
    """
    line = unit.lines.lock(find_line(unit, adapter).id)
    find_dataset(unit, source.dataset)
    if source.holdout is not None:
        find_dataset(unit, source.holdout, field="holdout")
        _check_holdout(unit, source.dataset, source.holdout)
    check_trainable(unit, line)
    _check_suppression(unit, line, source.dataset)
    _check_form(unit, line, source)
    return begin_version(unit, line, source, actor=actor)


def begin_version(unit: Unit, line: Line, source: VersionSource, *, actor: str) -> Version:
    """The version's row and its run, without any check. The line must be locked."""
    version = _version(unit, line, source)
    unit.versions.add(version)
    version.run_id = unit.runs.enqueue(line.id, source.kind, pool=line.pool, now=unit.now, version_id=version.id)
    unit.audit(actor, "version.created", adapter=line.name, version=version.number, kind=source.kind)
    unit.emit("version.created", adapter=line.name, run_id=version.run_id, version=version.number, kind=source.kind)
    return version


def _check_holdout(unit: Unit, dataset_id: str, holdout_id: str) -> None:
    """An id names one text of a version, trained on or never seen."""
    count = unit.datasets.shared_count(dataset_id, holdout_id)
    if count:
        raise InvalidInput(
            f"{count} instances of the holdout have the id of one in the dataset.",
            field="/source/holdout",
            fix="Upload a holdout of never-seen instances, under ids of their own.",
            code="holdout-shares-ids",
            extra={"instances": count},
        )


def check_trainable(unit: Unit, line: Line) -> None:
    """Raises Conflict if the line is retired, Busy if it makes an anchor already or has open requests."""
    check_in_service(line)
    busy = unit.runs.queued(line.id, Lane.compact) or unit.runs.running(line.id, Lane.compact)
    if busy is not None or unit.targets.open_of_line(line.id):
        raise Busy(
            "The line has a training run or open requests.",
            fix="Wait until they end.",
            code="line-busy",
            extra={"run": None if busy is None else busy.id},
        )


def _check_suppression(unit: Unit, line: Line, dataset_id: str) -> None:
    count = unit.datasets.suppressed_count(dataset_id, line.id)
    if count:
        raise Suppressed(
            f"{count} instances of the dataset were erased before, or speak of an erased subject.",
            field="/source/dataset",
            fix="Upload the dataset without them.",
            extra={"instances": count},
        )


def _check_form(unit: Unit, line: Line, source: VersionSource) -> None:
    if source.recipe is not None:
        check_fits(unit, line, source.recipe.lora, field="/source/recipe/lora")
    check_fits(unit, line, source.lora, field="/archive/adapter_config.json")


def _version(unit: Unit, line: Line, source: VersionSource) -> Version:
    return Version(
        id=new_id("ver"),
        line_id=line.id,
        number=take_number(line),
        kind=source.kind,
        state=VersionState.preparing,
        created_at=unit.now,
        parent_id=line.head_id,
        dataset_id=source.dataset,
        holdout_id=source.holdout,
        recipe=None if source.recipe is None else source.recipe.model_dump(mode="json"),
        training_format=source.training_format.model_dump(mode="json"),
        source={
            "type": str(source.kind),
            "archive": source.archive,
            "record": source.record,
            "lora": None if source.lora is None else source.lora.model_dump(mode="json"),
            "expected_losses": None if source.expected_losses is None else dict(source.expected_losses),
            "rolls_forward": source.rolls_forward,
        },
        ledger_seq=0,
    )
