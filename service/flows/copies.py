"""Which copies of a request's data still exist, until when, and which were destroyed, and when.

Keys go in the transaction that publishes the covering anchor, so a certificate signed in it can say when. Files and
what workers have decrypted go afterwards: the certificate promises them gone by a moment, and the audit chain notes
when files went (`copy.deleted`).
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from service.domain.states import VersionState
from service.evidence.facts import Copy, DestroyedCopy, RemainingCopy
from service.flows.erase import is_still_sealed
from service.flows.strategy import policy_of
from service.store.database import Unit
from service.store.tables import Line, Target, Version

# The reconciler sweeps every few seconds and running workers their caches and devices at every heartbeat; this leaves
# room for a restart of either, and of the blob store.
SWEPT_WITHIN = timedelta(hours=1)


def remaining_copies(unit: Unit, line: Line, target: Target) -> list[RemainingCopy]:
    """Lethe knows its own copies; servers and backups it can only name."""
    older = [v.withdraw_at for v in unit.versions.of_line(line.id, VersionState.ready) if v.withdraw_at is not None]
    ours = [
        *(_before_the_rebuild(unit, line, target) if _has_tail(unit, target) else _after_it(unit, line, target)),
        *([RemainingCopy(Copy.older_versions, max(older) + SWEPT_WITHIN)] if older else []),
    ]
    return [
        *ours,
        RemainingCopy(Copy.inference_replicas, None),
        RemainingCopy(Copy.backups, _backed_up_until(unit, line, ours)),
    ]


def _backed_up_until(unit: Unit, line: Line, ours: Sequence[RemainingCopy]) -> datetime | None:
    """A backup that is made while a copy is there has it, too, and is kept for as long as the operator says."""
    kept_s = policy_of(line).backups_kept_s
    if kept_s is None:
        return None
    return max([unit.now, *(copy.until for copy in ours if copy.until is not None)]) + timedelta(seconds=kept_s)


def destroyed_copies(unit: Unit, line: Line, target: Target) -> list[DestroyedCopy]:
    """Nothing as long as a line is solved from an anchor that was trained on the data."""
    if _has_tail(unit, target) or is_still_sealed(unit, target):
        return []
    older = _older(unit, line)
    found = {
        Copy.derived_data: _shredded_at(unit, (v.artefacts_prefix for v in older if v.artefacts_prefix)),
        Copy.out_of_fold_predictions: _shredded_at(unit, _folds(older)),
    }
    derived = [DestroyedCopy(kind, at) for kind, at in found.items() if at is not None]
    return [DestroyedCopy(Copy.sealed_rows, unit.now), *derived]


def _before_the_rebuild(unit: Unit, line: Line, target: Target) -> list[RemainingCopy]:
    anchor = unit.versions.find(line.anchor_id)
    kinds = [Copy.sealed_rows, Copy.quarantined_anchor, Copy.derived_data]
    if anchor is not None and anchor.out_of_fold:
        kinds.append(Copy.out_of_fold_predictions)
    return [RemainingCopy(kind, target.shred_by) for kind in kinds]


def _after_it(unit: Unit, line: Line, target: Target) -> list[RemainingCopy]:
    """What older anchors left, until it is swept; and what another line has that is trained on the same rows."""
    waiting = [t.shred_by for t in unit.targets.of_request(target.request_id) if _has_tail(unit, t)]
    until = max(waiting, default=None)
    elsewhere = (Copy.sealed_rows, Copy.derived_data) if is_still_sealed(unit, target) else ()
    copies = [RemainingCopy(kind, until) for kind in elsewhere]
    older, swept = _older(unit, line), unit.now + SWEPT_WITHIN
    if any(_is_gone_but_for_its_files(version) for version in older):
        copies.append(RemainingCopy(Copy.quarantined_anchor, swept))
    derived = {*(v.artefacts_prefix for v in older if v.artefacts_prefix), *_folds(older)}
    sealed = unit.trees.many(derived)
    if derived - sealed.keys() and Copy.derived_data not in elsewhere:
        copies.append(RemainingCopy(Copy.derived_data, swept))
    if sealed:
        copies.append(RemainingCopy(Copy.worker_caches, swept))
    return copies


def _older(unit: Unit, line: Line) -> Sequence[Version]:
    return [version for version in unit.versions.of_line(line.id) if version.id != line.anchor_id]


def _folds(versions: Iterable[Version]) -> list[str]:
    return [fold["prefix"] for version in versions for fold in version.out_of_fold or ()]


def _shredded_at(unit: Unit, prefixes: Iterable[str]) -> datetime | None:
    """When the last of these trees' keys was destroyed; None if a tree never had one, or there is no tree."""
    wanted = set(prefixes)
    moments = [row.shredded_at for row in unit.trees.many(wanted).values() if row.shredded_at is not None]
    return max(moments) if moments and len(moments) == len(wanted) else None


def _is_gone_but_for_its_files(version: Version) -> bool:
    return version.state is VersionState.withdrawn and version.blob_prefix is not None


def _has_tail(unit: Unit, target: Target) -> bool:
    return target.id in unit.ledger.targets_with_tail(target.line_id)
