"""Lines, aliases and versions, as clients see them."""

from typing import Literal

from service.api.schemas.adapters import (
    AdapterRead,
    AliasRead,
    BaseModelRead,
    CanaryRead,
    CapabilityRead,
    CompactionRead,
)
from service.api.schemas.versions import NamesElsewhere, RollForwardPlan, VersionRead
from service.domain.adapters import Policy, Recipe
from service.domain.canary import CanaryRules
from service.domain.states import VersionState
from service.flows.canary import standing
from service.flows.roll_forward import RollForward
from service.hotswap.names import VersionName
from service.store.database import Unit
from service.store.tables import Alias, Line, Version


def version_name(unit: Unit, version_id: str | None) -> str | None:
    """`v3`, or None."""
    version = unit.versions.find(version_id)
    return None if version is None else f"v{version.number}"


def adapter_read(unit: Unit, line: Line) -> AdapterRead:
    anchor = unit.versions.find(line.anchor_id)
    return AdapterRead(
        name=line.name,
        state=_state(unit, line),
        base_model=BaseModelRead(path=line.base_path, revision=line.base_revision, digest=line.base_digest),
        policy=Policy.model_validate(line.policy),
        pool=line.pool,
        head=version_name(unit, line.head_id),
        anchor=version_name(unit, line.anchor_id),
        aliases={
            alias.name: f"v{unit.versions.get(alias.version_id).number}" for alias in unit.lines.aliases(line.id)
        },
        capabilities=[] if anchor is None else _capabilities(anchor),
        rebuild_due_at=line.rebuild_due_at,
        compaction=_compaction(line),
        created_at=line.created_at,
        retired_at=line.retired_at,
        retired_by=line.retired_by,
        retired_reason=line.retired_reason,
    )


def _compaction(line: Line) -> CompactionRead | None:
    if line.rebuild_due_at is None:
        return None
    return CompactionRead(due_at=line.rebuild_due_at, because=line.rebuild_because)


def _state(unit: Unit, line: Line) -> Literal["empty", "preparing", "ready", "retired"]:
    if line.retired_at is not None:
        return "retired"
    if line.anchor_id is not None:
        return "ready"
    return "preparing" if unit.versions.of_line(line.id, VersionState.preparing) else "empty"


def alias_read(unit: Unit, line: Line, alias: Alias) -> AliasRead:
    version = unit.versions.get(alias.version_id)
    return AliasRead(
        adapter=line.name,
        alias=alias.name,
        version=f"v{version.number}",
        id=str(VersionName(line.name, version.number)),
        digest=version.digest,
        updated_at=alias.updated_at,
        canary=_canary(unit, line, alias),
    )


def _canary(unit: Unit, line: Line, alias: Alias) -> CanaryRead | None:
    if alias.canary_id is None or alias.canary_since is None:
        return None
    version, rules = unit.versions.get(alias.canary_id), CanaryRules.model_validate(alias.canary_rules)
    return CanaryRead(
        version=f"v{version.number}",
        id=str(VersionName(line.name, version.number)),
        weight=rules.weight,
        since=alias.canary_since,
        rules=rules,
        measured=alias.canary_measured or {},
        waits_for=list(standing(unit, alias).reasons),
    )


def version_read(unit: Unit, line: Line, version: Version) -> VersionRead:
    name = VersionName(line.name, version.number)
    return VersionRead.model_validate(
        {
            "id": str(name),
            "names": NamesElsewhere.model_validate(name),
            "adapter": line.name,
            "version": f"v{version.number}",
            "state": version.state,
            "kind": version.kind,
            "digest": version.digest,
            "files": version.files,
            "parent": version_name(unit, version.parent_id),
            "anchor": version_name(unit, version.anchor_id),
            "claim_level": version.claim_level,
            "aliases": [alias.name for alias in unit.lines.aliases(line.id) if alias.version_id == version.id],
            "rolls_forward": _rolls_forward(version),
            "run": version.run_id,
            "dataset": version.dataset_id,
            "holdout": version.holdout_id,
            "recipe": version.recipe,
            "training_format": version.training_format,
            "capabilities": _capabilities(version),
            "measurements": version.measurements,
            "rejection": version.rejection,
            "created_at": version.created_at,
            "ready_at": version.ready_at,
            "withdraw_at": version.withdraw_at,
            "withdrawn_at": version.withdrawn_at,
        }
    )


def roll_forward_plan(planned: RollForward) -> RollForwardPlan:
    anchor = planned.anchor
    return RollForwardPlan(
        version=f"v{planned.version.number}",
        anchor=f"v{anchor.number}",
        recipe=Recipe.model_validate(anchor.recipe),
        dataset=anchor.dataset_id,
        instances=planned.instances,
        replayed=planned.replayed,
        estimated_seconds=planned.estimated_s,
    )


def _rolls_forward(version: Version) -> str | None:
    number = version.source.get("rolls_forward")
    return None if number is None else f"v{number}"


def version_headers(line: Line, version: Version) -> dict[str, str]:
    """Which version an answer is about, where its body does not say."""
    return {"X-Lethe-Version": str(VersionName(line.name, version.number)), "X-Lethe-Digest": str(version.digest)}


def _capabilities(version: Version) -> list[CapabilityRead]:
    return [CapabilityRead.model_validate(capability) for capability in version.capabilities or ()]
