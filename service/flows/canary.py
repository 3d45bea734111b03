"""Try a version on a part of an alias's traffic, and promote it or take it back by what was measured.

Lethe routes no traffic: gateways read the weights (`GET …/aliases/{alias}`, or the manifest made from them).
"""

from collections.abc import Mapping
from datetime import datetime

from service.domain.canary import CanaryRules, Decision, Verdict, decide
from service.domain.errors import Conflict, NotFound
from service.flows.alias import check_floor, check_servable
from service.flows.lookup import find_alias, find_line, find_version
from service.flows.new_version import begin_canary, end_canary, point
from service.store.database import Unit
from service.store.tables import Alias, Line


def set_canary(unit: Unit, adapter: str, alias: str, *, version: str, rules: CanaryRules, actor: str) -> Alias:
    """Let `version` serve a part of what `alias` gets. It takes the place of a canary that is there.

    Raises:
        NotFound: unknown line, alias or version.
        Conflict: the alias points at that version already, or it is not ready.
        Gone, UndoesErasure: as for moving the alias.
    """
    line = unit.lines.lock(find_line(unit, adapter).id)
    row = find_alias(unit, line, alias)
    wanted = find_version(unit, line, version)
    if wanted.id == row.version_id:
        raise Conflict(
            "The alias points at this version already.", field="/version", fix="Name another.", code="canary-is-stable"
        )
    check_servable(wanted)
    check_floor(unit, line, wanted)
    begin_canary(unit, line, row, wanted, rules, actor=actor)
    return row


def observe(unit: Unit, adapter: str, alias: str, values: Mapping[str, float]) -> Decision:
    """Keep measured values of the canary, the newest of each metric, and act on them.

    Raises NotFound if there is no canary.
    """
    line = unit.lines.lock(find_line(unit, adapter).id)
    row = _with_canary(unit, line, alias)
    row.canary_measured = {**(row.canary_measured or {}), **values}
    return _act(unit, line, row)


def promote(unit: Unit, adapter: str, alias: str, *, actor: str) -> Alias:
    """Point the alias at its canary now, whatever was measured. Raises NotFound if there is no canary."""
    line = unit.lines.lock(find_line(unit, adapter).id)
    row = _with_canary(unit, line, alias)
    return point(unit, line, row.name, unit.versions.get(str(row.canary_id)), actor=actor)


def abort(unit: Unit, adapter: str, alias: str, *, actor: str) -> Alias:
    """Take the canary back: all traffic goes to the alias's version. Raises NotFound if there is no canary."""
    line = unit.lines.lock(find_line(unit, adapter).id)
    row = _with_canary(unit, line, alias)
    end_canary(unit, line, row, actor=actor, reasons=())
    return row


def weight_of(alias: Alias) -> float:
    """The share of the traffic that the canary of an alias should get."""
    return CanaryRules.model_validate(alias.canary_rules).weight


def standing(unit: Unit, alias: Alias) -> Decision:
    """What the canary of an alias waits for."""
    assert alias.canary_since is not None, "asked of aliases with a canary"
    stable, tried = unit.versions.get(alias.version_id), unit.versions.get(str(alias.canary_id))
    return decide(
        CanaryRules.model_validate(alias.canary_rules),
        age_s=(unit.now - alias.canary_since).total_seconds(),
        measured=alias.canary_measured or {},
        is_overdue=_is_due(stable.withdraw_at, unit.now) and not _is_due(tried.withdraw_at, unit.now),
    )


def advance_canaries(unit: Unit) -> int:
    """Promote or take back every canary whose time has come; returns how many."""
    ended = 0
    for found in unit.lines.with_canary():
        line = unit.lines.lock(found.line_id)
        alias = unit.lines.alias(line.id, found.name)
        if alias is not None and alias.canary_id is not None:
            ended += _act(unit, line, alias).verdict is not Verdict.wait
    return ended


def _act(unit: Unit, line: Line, alias: Alias) -> Decision:
    decision = standing(unit, alias)
    if decision.verdict is Verdict.promote:
        point(unit, line, alias.name, unit.versions.get(str(alias.canary_id)), actor="lethe")
    elif decision.verdict is Verdict.abort:
        end_canary(unit, line, alias, actor="lethe", reasons=decision.reasons)
    return decision


def _with_canary(unit: Unit, line: Line, name: str) -> Alias:
    alias = find_alias(unit, line, name)
    if alias.canary_id is None:
        raise NotFound("The alias has no canary.", field="alias", fix="Begin one first.", code="no-canary")
    return alias


def _is_due(moment: datetime | None, now: datetime) -> bool:
    return moment is not None and moment <= now
