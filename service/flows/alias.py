"""Move an alias, by compare-and-set, never to a version that would undo an erasure."""

from service.domain.errors import Conflict, Gone, InvalidInput, UndoesErasure
from service.domain.states import VersionState
from service.flows.lookup import VERSION_NAME, find_alias, find_line, find_version
from service.flows.new_version import point, remove_alias
from service.store.database import Unit
from service.store.tables import Alias, Line, Version


def set_alias(unit: Unit, adapter: str, name: str, *, version: str, expected: str | None, actor: str) -> Alias:
    """Point `name` at `version` if it points at `expected` now (None: it must not exist yet).

    Raises:
        InvalidInput: the name looks like a version.
        Conflict: the alias points elsewhere, or the version is not ready.
        Gone: the version was withdrawn.
        UndoesErasure: the version is older than the newest erasure; names the lowest allowed one.
    """
    if VERSION_NAME.fullmatch(name):
        raise InvalidInput(
            "An alias cannot be called like a version.", field="alias", fix="Choose a word.", code="reserved-alias"
        )
    line = unit.lines.lock(find_line(unit, adapter).id)
    wanted = find_version(unit, line, version)
    _check_expected(unit, line, name, expected)
    check_servable(wanted)
    check_floor(unit, line, wanted)
    return point(unit, line, name, wanted, actor=actor)


def _check_expected(unit: Unit, line: Line, name: str, expected: str | None) -> None:
    alias = unit.lines.alias(line.id, name)
    present = None if alias is None else f"v{unit.versions.get(alias.version_id).number}"
    if present != expected:
        raise Conflict(
            "The alias does not point at the expected version.",
            field="/expected",
            fix="Read the alias and send its present version as `expected` (null if there is none).",
            code="alias-moved",
            extra={"present": present},
        )


def check_servable(version: Version) -> None:
    """Raises Gone or Conflict unless the version can be handed to clients."""
    if version.state in (VersionState.withdrawn, VersionState.quarantined):
        raise Gone("The version was withdrawn.", field="/version", code="version-withdrawn")
    if version.state is not VersionState.ready:
        raise Conflict(
            f"The version is {version.state}.",
            field="/version",
            fix="Wait until it is ready.",
            code="version-not-ready",
        )


def check_floor(unit: Unit, line: Line, version: Version) -> None:
    """Raises UndoesErasure below the floor, which is the newest published ledger entry."""
    if version.ledger_seq >= line.ledger_head:
        return
    lowest = unit.versions.lowest_covering(line.id, line.ledger_head)
    raise UndoesErasure(
        "The version is older than an erasure on this line.",
        field="/version",
        fix="Choose the lowest allowed version or a newer one, or roll forward to it: its recipe is then trained anew "
        "without what was erased since.",
        extra={
            "lowest_allowed": None if lowest is None else f"v{lowest.number}",
            "roll_forward": f"/v1/adapters/{line.name}/roll-forwards",
        },
    )


def drop_alias(unit: Unit, adapter: str, name: str, *, actor: str) -> None:
    """Remove an alias.

    Raises:
        NotFound: there is no such alias.
    """
    line = unit.lines.lock(find_line(unit, adapter).id)
    remove_alias(unit, line, find_alias(unit, line, name), actor=actor)
