"""`lethe canary`: a version on trial for a share of an alias's traffic."""

import math
import re
from typing import Annotated, Any

import typer

from service.cli.session import Session, talks_to_service
from service.cli.tables.adapters import alias_table
from service.client.answers.adapters import Alias
from service.domain.canary import CanaryRules
from service.domain.errors import InvalidInput

canary = typer.Typer(help="Try a version on a share of an alias's traffic.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The adapter line.")]
AliasOption = Annotated[str, typer.Option("--alias", help="Whose traffic.")]
_BOUND = re.compile(r"([a-z][a-z0-9_.-]*)(<=|>=)(.+)")
_SIDES = {"<=": "at_most", ">=": "at_least"}


@canary.command()
@talks_to_service
def show(session: Session, name: Name, *, alias: AliasOption = "production") -> None:
    """Show where an alias points, what is on trial there, and what its promotion waits for."""
    _tell(session, session.client.get_alias(name, alias))


@canary.command()
@talks_to_service
def begin(
    session: Session,
    name: Name,
    version: Annotated[str, typer.Argument(help="The version to try: v4.")],
    *,
    alias: AliasOption = "production",
    weight: Annotated[float | None, typer.Option(help="Its share of the traffic, between 0 and 1.")] = None,
    hold_s: Annotated[float | None, typer.Option(help="How many seconds it is tried at least.")] = None,
    bound: Annotated[
        list[str] | None, typer.Option(help='What must be measured of it: "error_rate<=0.02". May be repeated.')
    ] = None,
) -> None:
    """Try a version; what no option says is as in the line's policy."""
    bounds = None if bound is None else [_bound(one) for one in bound]
    given = {"weight": weight, "hold_s": hold_s, "bounds": bounds}
    changes = {rule: value for rule, value in given.items() if value is not None}
    rules = None
    if changes:
        usual = session.client.get_adapter(name).policy.get("canary", {})
        rules = CanaryRules.model_validate({**usual, **changes})
    _tell(session, session.client.begin_canary(name, alias, version, rules=rules))


@canary.command()
@talks_to_service
def observe(
    session: Session,
    name: Name,
    values: Annotated[list[str], typer.Argument(metavar="METRIC=VALUE...", help="What was measured of it.")],
    *,
    alias: AliasOption = "production",
) -> None:
    """Send what was measured. The canary is promoted or taken back at once if that decides it."""
    measured = dict(_value(one) for one in values)
    _tell(session, session.client.observe_canary(name, alias, measured))


@canary.command()
@talks_to_service
def promote(session: Session, name: Name, *, alias: AliasOption = "production") -> None:
    """Point the alias at its canary now, whatever was measured."""
    _tell(session, session.client.promote_canary(name, alias))


@canary.command()
@talks_to_service
def end(session: Session, name: Name, *, alias: AliasOption = "production") -> None:
    """Take the canary back: all traffic goes to the alias's own version again."""
    _tell(session, session.client.end_canary(name, alias))


def _tell(session: Session, alias: Alias) -> None:
    session.output.one(alias, alias_table(alias))


def _bound(given: str) -> dict[str, Any]:
    found = _BOUND.fullmatch(given.replace(" ", ""))
    if found is None:
        raise InvalidInput(
            f"{given} bounds nothing.", field="--bound", fix='Write "METRIC<=VALUE" or "METRIC>=VALUE".'
        )
    metric, side, value = found.groups()
    return {"metric": metric, _SIDES[side]: _number(value, "--bound")}


def _value(given: str) -> tuple[str, float]:
    metric, equals, value = given.partition("=")
    if not equals:
        raise InvalidInput(f"{given} measures nothing.", field="METRIC=VALUE", fix="Write METRIC=VALUE.")
    return metric, _number(value, "METRIC=VALUE")


def _number(given: str, field: str) -> float:
    try:
        number = float(given)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InvalidInput(f"{given} is no number.", field=field)
    return number
