"""How a line's versions descend from each other, drawn: time runs down, every anchor begins a column of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from service.api.report.svg import element, figure, line, text
from service.api.schemas.versions import VersionRead
from service.domain.states import VersionState

_ROW, _COLUMN, _LEFT, _TOP, _DOT = 34.0, 26.0, 14.0, 20.0, 6.0
_LABEL = 460.0


@dataclass(frozen=True, slots=True)
class _Place:
    x: float
    y: float


def lineage(versions: Sequence[VersionRead], floor: str | None) -> Markup:
    """The picture. `versions`: oldest first. `floor`: the oldest version that an alias may point at."""
    places = _places(versions)
    widest = max((place.x for place in places.values()), default=_LEFT)
    parts = [*_edges(versions, places), *(part for one in versions for part in _node(one, places, widest, floor))]
    size = (widest + _LABEL, _TOP + _ROW * max(len(versions), 1))
    return figure("lineage", "Lineage", _description(versions), size, parts)


def _places(versions: Sequence[VersionRead]) -> dict[str, _Place]:
    columns: dict[str, int] = {}
    places = {}
    for row, one in enumerate(reversed(versions)):
        places[one.version] = _Place(0, _TOP + row * _ROW)
    for one in versions:
        column = columns.setdefault(_anchor(one), len(columns))
        places[one.version] = _Place(_LEFT + column * _COLUMN, places[one.version].y)
    return places


def _anchor(one: VersionRead) -> str:
    return one.anchor or one.version


def _edges(versions: Sequence[VersionRead], places: Mapping[str, _Place]) -> list[Markup]:
    """A version hangs on what it was made from: an update on its anchor, another anchor on its parent."""
    edges = []
    for one in versions:
        origin = one.anchor if one.anchor not in (None, one.version) else one.parent
        if origin in places and origin != one.version:
            start, end = places[str(origin)], places[one.version]
            edges.append(line(start.x, start.y, start.x, end.y, "edge"))
            edges.append(line(start.x, end.y, end.x, end.y, "edge"))
    return edges


def _node(one: VersionRead, places: Mapping[str, _Place], widest: float, floor: str | None) -> list[Markup]:
    place = places[one.version]
    served = one.state is VersionState.ready
    class_ = ("anchor" if _anchor(one) == one.version else "update") + ("" if served else " gone")
    notes = [one.kind, *(f"← {alias}" for alias in one.aliases), *(["lowest allowed"] if one.version == floor else [])]
    return [
        element("circle", cx=place.x, cy=place.y, r=_DOT, class_=class_),
        text(widest + 22, place.y + 4, one.version, "label strong"),
        text(widest + 62, place.y + 4, " · ".join([*notes, *([] if served else [one.state.value])]), "label quiet"),
    ]


def _description(versions: Sequence[VersionRead]) -> str:
    told = [f"{one.version} ({one.kind}) from {one.parent}" if one.parent else one.version for one in versions]
    return "Versions and what they were made from: " + ", ".join(told) + "."
