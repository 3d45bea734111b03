"""Adapter lines: which there are, and everything about one."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from service.api.desk.lineage import lineage
from service.api.desk.page import render
from service.api.desk.route import DeskRoute
from service.api.desk.visit import Visit, permitted
from service.api.desk.words import policy
from service.api.paging import Paging
from service.api.views.adapters import adapter_read, alias_read, version_name, version_read
from service.api.visibility import view_of, visible_line
from service.store.database import Unit
from service.store.tables import Line

router = APIRouter(prefix="/desk/lines", route_class=DeskRoute, include_in_schema=False)

PAGE = 100


@router.get("")
def list_lines(
    request: Request,
    visit: Annotated[Visit, permitted("list_adapters")],
    cursor: Annotated[str | None, Query(max_length=2000)] = None,
) -> Response:
    paging = Paging(visit.context.vault.sealer, visit.actor.id, cursor, PAGE)
    with visit.context.store.read() as unit:
        page = unit.lines.page_of_lines(
            after=paging.position("desk lines"), limit=paging.limit, view=view_of(visit.actor)
        )
        lines = [adapter_read(unit, line) for line in page.items]
    return render(request, "lines.html", lines=lines, older=paging.after(page.next, "desk lines"))


@router.get("/{name}")
def show_line(
    request: Request, name: Annotated[str, Path(max_length=63)], visit: Annotated[Visit, permitted("get_adapter")]
) -> Response:
    with visit.context.store.read() as unit:
        line = visible_line(unit, visit.actor, name)
        read = adapter_read(unit, line)
        versions = [version_read(unit, line, version) for version in unit.versions.of_line(line.id)]
        aliases = [alias_read(unit, line, alias) for alias in unit.lines.aliases(line.id)]
        floor, ledger = _floor(unit, line), unit.ledger.counts(line.id)
    return render(
        request,
        "line.html",
        line=read,
        versions=versions,
        aliases=aliases,
        floor=floor,
        ledger=ledger,
        picture=lineage(versions, floor),
        policy=policy(read.policy.model_dump(mode="json")),
    )


def _floor(unit: Unit, line: Line) -> str | None:
    """The oldest version that an alias may point at."""
    lowest = unit.versions.lowest_covering(line.id, line.ledger_head)
    return None if lowest is None else version_name(unit, lowest.id)
