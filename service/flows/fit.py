"""Whether adapters fit the servers that shall serve them: a server fixes rank and modules when it starts."""

from service.domain.adapters import LoraSpec
from service.domain.errors import Conflict, InvalidInput
from service.domain.serving_limits import ServingLimits, misfit
from service.store.database import Unit
from service.store.tables import Line, ServingTarget, Version

CODE = "does-not-fit-servers"
FIX = "Use a smaller rank and fewer modules, or restart the servers with higher limits and register them anew."


def limits_of(target: ServingTarget) -> ServingLimits:
    return ServingLimits(target.max_lora_rank, target.target_modules)


def misfit_of(unit: Unit, line: Line, spec: LoraSpec) -> str | None:
    """Why a server that follows the line cannot serve such an adapter; None if all can."""
    for target in unit.serving.following(line.id):
        reason = misfit(spec.r, spec.target_modules, limits_of(target))
        if reason is not None:
            return f"Serving target {target.name}: {reason}"
    return None


def check_fits(unit: Unit, line: Line, spec: LoraSpec | None, *, field: str) -> None:
    """Raises InvalidInput if a server of the line cannot serve such an adapter."""
    reason = None if spec is None else misfit_of(unit, line, spec)
    if reason is not None:
        raise InvalidInput(reason, field=field, fix=FIX, code=CODE)


def check_served(unit: Unit, line: Line, alias: str, limits: ServingLimits) -> None:
    """Raises Conflict if servers with these limits cannot serve what the line's alias points at."""
    row = unit.lines.alias(line.id, alias)
    spec = None if row is None else spec_of(unit, unit.versions.get(row.version_id))
    reason = None if spec is None else misfit(spec.r, spec.target_modules, limits)
    if reason is not None:
        raise Conflict(f"Line {line.name}: {reason}", field="/limits", fix=FIX, code=CODE)


def spec_of(unit: Unit, version: Version) -> LoraSpec | None:
    """The form of a version's adapter, which is that of its anchor; None for imports of earlier releases."""
    for row in (version, unit.versions.find(version.anchor_id)):
        if row is None:
            continue
        if row.recipe is not None:
            return LoraSpec.model_validate(row.recipe["lora"])
        if row.source.get("lora") is not None:
            return LoraSpec.model_validate(row.source["lora"])
    return None
