"""Go back to what an older version was like, without going back to what it remembers.

An alias never moves behind an erasure. Instead the older version's recipe is trained anew on its dataset as it has
become: without what was removed since, with what was corrected. The result is a new version like any other.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from service.domain.adapters import Recipe, TrainingFormat
from service.domain.errors import Conflict, Suppressed
from service.domain.runs import RunKind
from service.flows.add_version import VersionSource, begin_version, check_trainable
from service.flows.lines import check_in_service
from service.flows.lookup import find_line, find_version
from service.flows.strategy import can_rebuild, estimated_rebuild_s
from service.flows.training_data import dataset_of, edited, present
from service.store.database import Unit
from service.store.tables import LedgerEntry, Line, Version


@dataclass(frozen=True, slots=True)
class RollForward:
    """What a roll-forward to `version` trains: `instances` of its dataset, `replayed` of it removed or changed since.

    `estimated_s`: how long, in seconds; None if that recipe's training was never timed.
    """

    version: Version
    anchor: Version
    instances: int
    replayed: int
    estimated_s: float | None


def plan_roll_forward(unit: Unit, line: Line, version: str) -> RollForward:
    """What `roll_forward` would do. Changes nothing.

    Raises:
        NotFound: the line has no such version.
        Conflict: the line is retired, the version was never trained by a recipe, or nothing of its data is left.
        Suppressed: its dataset holds what was erased elsewhere, so that no edit of this line leaves it out.
    """
    check_in_service(line)
    wanted = find_version(unit, line, version)
    anchor = unit.versions.find(wanted.anchor_id)
    if anchor is None or not can_rebuild(anchor):
        raise Conflict(
            "The version cannot be trained anew: its anchor has no recipe.",
            field="/version",
            fix="Choose a version whose anchor was trained here, or imported with its recipe.",
            code="not-rebuildable",
        )
    _check_suppression(unit, line, anchor)
    dataset = dataset_of(unit, anchor)
    entries = unit.ledger.of_line(line.id)
    rows = present(unit, dataset.id, edited(entries, dataset.id))
    if not rows:
        raise Conflict(
            "Nothing is left of what the version was trained on.",
            field="/version",
            fix="Train on another dataset.",
            code="nothing-left",
        )
    share = len(rows) / dataset.instance_count
    replayed = len(edited(_since(entries, wanted), dataset.id).text_ids)
    return RollForward(wanted, anchor, len(rows), replayed, estimated_rebuild_s(anchor, share))


def roll_forward(unit: Unit, adapter: str, version: str, *, actor: str) -> Version:
    """A version in preparation with the recipe of an older one.

    Raises:
        Busy: the line is training, importing or rebuilding already, or has open requests.
        NotFound, Conflict, Suppressed: as `plan_roll_forward`.
    """
    line = unit.lines.lock(find_line(unit, adapter).id)
    check_trainable(unit, line)
    planned = plan_roll_forward(unit, line, version)
    source = VersionSource(
        kind=RunKind.train,
        dataset=planned.anchor.dataset_id,
        holdout=planned.anchor.holdout_id,
        recipe=Recipe.model_validate(planned.anchor.recipe),
        training_format=TrainingFormat.model_validate(planned.anchor.training_format),
        rolls_forward=planned.version.number,
    )
    return begin_version(unit, line, source, actor=actor)


def unreplayed(unit: Unit, line: Line, dataset_id: str) -> set[str]:
    """Instances of a dataset that were erased, but not by an edit of this line: replaying its ledger keeps them."""
    touched = edited(unit.ledger.of_line(line.id), dataset_id).text_ids.keys()
    return unit.datasets.suppressed_ids(dataset_id, line.id) - touched


def _check_suppression(unit: Unit, line: Line, anchor: Version) -> None:
    count = len(unreplayed(unit, line, anchor.dataset_id))
    if count:
        raise Suppressed(
            f"{count} instances of the version's dataset were erased by requests that did not edit it on this line.",
            field="/version",
            fix="Upload the dataset without them and train on it with the version's recipe.",
            extra={"instances": count},
        )


def _since(entries: Sequence[LedgerEntry], version: Version) -> list[LedgerEntry]:
    return [entry for entry in entries if entry.seq > version.ledger_seq]
