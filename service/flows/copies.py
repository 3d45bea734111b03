"""Which copies of a request's data still exist, until when, and which were destroyed, and when.

Keys go in the transaction that publishes the covering anchor, so a certificate signed in it can say when. Files go
afterwards: the certificate promises them gone by a moment, and the audit chain notes when they went (`copy.deleted`).
"""

from datetime import timedelta

from service.domain.states import VersionState
from service.evidence.facts import Copy, DestroyedCopy, RemainingCopy
from service.flows.erase import is_still_sealed
from service.store.database import Unit
from service.store.tables import Line, Target, Version

# The reconciler sweeps every few seconds and running workers their caches at every heartbeat; this leaves room for
# a restart of either, and of the blob store.
SWEPT_WITHIN = timedelta(hours=1)


def remaining_copies(unit: Unit, line: Line, target: Target) -> list[RemainingCopy]:
    """Lethe knows its own copies; servers and backups it can only name."""
    older = [v.withdraw_at for v in unit.versions.of_line(line.id, VersionState.ready) if v.withdraw_at is not None]
    return [
        *(_before_the_rebuild(unit, line, target) if _has_tail(unit, target) else _after_it(unit, line, target)),
        *([RemainingCopy(Copy.older_versions, max(older) + SWEPT_WITHIN)] if older else []),
        RemainingCopy(Copy.inference_replicas, None),
        RemainingCopy(Copy.backups, None),
    ]


def destroyed_copies(unit: Unit, target: Target) -> list[DestroyedCopy]:
    """Nothing as long as the line is solved from an anchor that was trained on the data."""
    if _has_tail(unit, target) or is_still_sealed(unit, target):
        return []
    return [DestroyedCopy(Copy.sealed_rows, unit.now)]


def _before_the_rebuild(unit: Unit, line: Line, target: Target) -> list[RemainingCopy]:
    anchor = unit.versions.find(line.anchor_id)
    kinds = [Copy.sealed_rows, Copy.quarantined_anchor, Copy.derived_data]
    if anchor is not None and anchor.out_of_fold:
        kinds.append(Copy.out_of_fold_predictions)
    return [RemainingCopy(kind, target.shred_by) for kind in kinds]


def _after_it(unit: Unit, line: Line, target: Target) -> list[RemainingCopy]:
    """What older anchors left, until it is swept; and rows that another line is trained on."""
    waiting = [t.shred_by for t in unit.targets.of_request(target.request_id) if _has_tail(unit, t)]
    until = max(waiting, default=None)
    copies = [RemainingCopy(Copy.sealed_rows, until)] if is_still_sealed(unit, target) else []
    older = [version for version in unit.versions.of_line(line.id) if version.id != line.anchor_id]
    if any(_is_gone_but_for_its_files(version) for version in older):
        copies.append(RemainingCopy(Copy.quarantined_anchor, unit.now + SWEPT_WITHIN))
    if any(version.artefacts_prefix or version.out_of_fold for version in older):
        copies.append(RemainingCopy(Copy.derived_data, unit.now + SWEPT_WITHIN))
    return copies


def _is_gone_but_for_its_files(version: Version) -> bool:
    return version.state is VersionState.withdrawn and version.blob_prefix is not None


def _has_tail(unit: Unit, target: Target) -> bool:
    return target.id in unit.ledger.targets_with_tail(target.line_id)
