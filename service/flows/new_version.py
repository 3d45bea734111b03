"""Make version rows and put them into service."""

import hashlib
import json
from collections.abc import Sequence
from datetime import timedelta

from service.domain.canary import CanaryRules
from service.domain.ids import new_id
from service.domain.states import VersionState
from service.flows.staged import StoredTree
from service.flows.strategy import policy_of
from service.store.database import Unit
from service.store.digests import Manifest
from service.store.tables import Alias, Line, Version

PRODUCTION = "production"


def digest_of(files: Manifest) -> str:
    """The content address of a version: SHA-256 over its sorted file names and digests."""
    listing = sorted((name, entry["sha256"]) for name, entry in files.items())
    return "sha256:" + hashlib.sha256(json.dumps(listing).encode()).hexdigest()


def take_number(line: Line) -> int:
    """The line's next version number. The line must be locked."""
    number = line.next_number
    line.next_number += 1
    return number


def successor(unit: Unit, line: Line, model: Version, *, kind: str, run_id: str) -> Version:
    """A version row that shares the training data and format of `model`; not yet in service."""
    return Version(
        id=new_id("ver"),
        line_id=line.id,
        number=take_number(line),
        kind=kind,
        state=VersionState.preparing,
        created_at=unit.now,
        run_id=run_id,
        parent_id=line.head_id,
        dataset_id=model.dataset_id,
        holdout_id=model.holdout_id,
        recipe=model.recipe,
        training_format=model.training_format,
        source={"type": kind},
        capabilities=model.capabilities,
        ledger_seq=0,
    )


def store_adapter(version: Version, tree: StoredTree) -> None:
    version.blob_prefix, version.files, version.digest = tree.prefix, dict(tree.files), digest_of(tree.files)


def put_into_service(unit: Unit, line: Line, version: Version, *, actor: str) -> None:
    """The version becomes the line's head; versions that remember more start their grace period."""
    version.state, version.ready_at, version.ledger_seq = VersionState.ready, unit.now, line.ledger_head
    line.head_id = version.id
    unit.session.flush()
    retire_at = unit.now + timedelta(seconds=policy_of(line).grace_period_s)
    for older in unit.versions.of_line(line.id, VersionState.ready):
        if older.ledger_seq < line.ledger_head and older.withdraw_at is None:
            older.withdraw_at = retire_at
    unit.note_erasure("published", line=line.id, number=version.number)
    unit.audit(actor, "version.published", adapter=line.name, version=version.number, digest=version.digest)
    unit.emit("version.ready", adapter=line.name, version=version.number, digest=version.digest)
    _promote(unit, line, version, actor=actor)


def _promote(unit: Unit, line: Line, version: Version, *, actor: str) -> None:
    """As the policy says. A canary needs a version to be tried beside, so the first one is promoted at once."""
    policy, alias = policy_of(line), unit.lines.alias(line.id, PRODUCTION)
    if policy.promotion == "canary" and alias is not None:
        begin_canary(unit, line, alias, version, policy.canary, actor=actor)
    elif policy.promotion != "manual":
        point(unit, line, PRODUCTION, version, actor=actor)


def begin_canary(unit: Unit, line: Line, alias: Alias, version: Version, rules: CanaryRules, *, actor: str) -> None:
    """Put a version on trial beside the alias's own, without any check."""
    alias.canary_id, alias.canary_since, alias.updated_at = version.id, unit.now, unit.now
    alias.canary_rules, alias.canary_measured = rules.model_dump(mode="json"), None
    unit.audit(actor, "canary.started", adapter=line.name, alias=alias.name, version=version.number)
    unit.emit(
        "canary.started",
        adapter=line.name,
        alias=alias.name,
        version=version.number,
        digest=version.digest,
        weight=rules.weight,
    )


def end_canary(unit: Unit, line: Line, alias: Alias, *, actor: str, reasons: Sequence[str]) -> None:
    """Take the version on trial back."""
    version = unit.versions.get(str(alias.canary_id)).number
    _forget_canary(alias)
    alias.updated_at = unit.now
    told = list(reasons)
    unit.audit(actor, "canary.ended", adapter=line.name, alias=alias.name, version=version, reasons=told)
    unit.emit("canary.ended", adapter=line.name, alias=alias.name, version=version, reasons=told)


def _forget_canary(alias: Alias) -> None:
    alias.canary_id = alias.canary_since = alias.canary_rules = alias.canary_measured = None


def remove_alias(unit: Unit, line: Line, alias: Alias, *, actor: str) -> None:
    unit.lines.remove_alias(alias)
    unit.audit(actor, "alias.removed", adapter=line.name, alias=alias.name)
    unit.emit("alias.removed", adapter=line.name, alias=alias.name)


def point(unit: Unit, line: Line, name: str, version: Version, *, actor: str) -> Alias:
    """Move or make an alias, without any check. Whatever was on trial there is not any more."""
    alias = unit.lines.alias(line.id, name)
    if alias is None:
        alias = Alias(line_id=line.id, name=name, version_id=version.id, updated_at=unit.now)
        unit.lines.add(alias)
    else:
        alias.version_id, alias.updated_at = version.id, unit.now
        _forget_canary(alias)
    unit.audit(actor, "alias.moved", adapter=line.name, alias=name, version=version.number)
    unit.emit("alias.moved", adapter=line.name, alias=name, version=version.number, digest=version.digest)
    return alias


def reject(unit: Unit, line: Line, version: Version, *, code: str, detail: str) -> None:
    """A version that will never be ready."""
    version.state, version.rejection = VersionState.rejected, {"code": code, "detail": detail}
    unit.audit("lethe", "version.rejected", adapter=line.name, version=version.number, code=code)
    unit.emit("version.rejected", adapter=line.name, version=version.number, code=code)
