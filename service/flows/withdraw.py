"""Retire versions: readable through the grace period, then 410 and their bytes deleted."""

from collections.abc import Sequence

from service.domain.errors import Conflict
from service.domain.states import VersionState
from service.flows.lookup import find_line, find_version
from service.flows.new_version import end_canary, remove_alias
from service.store.database import Unit
from service.store.tables import Line, Version


def withdraw(unit: Unit, adapter: str, versions: Sequence[str], *, actor: str) -> list[Version]:
    """Withdraw versions now.

    Raises:
        Conflict: a version is still aliased, is the line's newest one, or is not in service.
    """
    line = unit.lines.lock(find_line(unit, adapter).id)
    found = [find_version(unit, line, name) for name in dict.fromkeys(versions)]
    aliased = {name for alias in unit.lines.aliases(line.id) for name in (alias.version_id, alias.canary_id)}
    for position, version in enumerate(found):
        if version.id in aliased or version.id == line.head_id or version.state is not VersionState.ready:
            raise Conflict(
                "The version is aliased, newest, or not in service.",
                field=f"/versions/{position}",
                fix="Move its aliases to another version first.",
                code="version-in-use",
            )
    for version in found:
        take_out(unit, line, version, actor=actor)
    return found


def withdraw_due(unit: Unit) -> int:
    """Withdraw every version whose grace period is over. Aliases that still point there are dropped."""
    due = unit.versions.withdrawal_due(unit.now)
    for version in due:
        take_away(unit, unit.lines.lock(version.line_id), version)
    return len(due)


def take_away(unit: Unit, line: Line, version: Version) -> None:
    """No longer served, whatever points there: its aliases are dropped, and trials of it end."""
    for alias in unit.lines.aliases(line.id):
        if alias.version_id == version.id:
            remove_alias(unit, line, alias, actor="lethe")
        elif alias.canary_id == version.id:
            end_canary(unit, line, alias, actor="lethe", reasons=("withdrawn",))
    take_out(unit, line, version, actor="lethe")


def take_out(unit: Unit, line: Line, version: Version, *, actor: str) -> None:
    """No longer served. The anchor's files stay, quarantined: updates are still solved from them."""
    version.state = VersionState.quarantined if version.id == line.anchor_id else VersionState.withdrawn
    version.withdrawn_at = unit.now
    unit.audit(actor, "version.withdrawn", adapter=line.name, version=version.number, digest=version.digest)
    unit.emit("version.withdrawn", adapter=line.name, version=version.number, digest=version.digest)
