"""Elements of an inline SVG. Text and attributes are escaped; looks come from the page's style sheet by class."""

from collections.abc import Iterable

from markupsafe import Markup, escape


def element(name: str, *children: str, **attributes: str | float) -> Markup:
    """`class_` becomes `class`, `text_anchor` becomes `text-anchor`; a child that is no Markup is escaped."""
    written = "".join(f' {_name(key)}="{_value(value)}"' for key, value in attributes.items())
    return Markup(f"<{name}{written}>{''.join(escape(child) for child in children)}</{name}>")


def text(x: float, y: float, content: str, class_: str = "label", anchor: str = "start") -> Markup:
    return element("text", content, x=x, y=y, class_=class_, text_anchor=anchor)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def polyline(points: Iterable[tuple[float, float]], class_: str, *, closed: bool = False) -> Markup:
    written = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return element("polygon" if closed else "polyline", points=written, class_=class_)


def figure(key: str, title: str, description: str, size: tuple[float, float], parts: Iterable[Markup]) -> Markup:
    """A picture with a name and a description for those who do not see it. `key`: unique on the page."""
    return element(
        "svg",
        element("title", title, id=f"{key}-title"),
        element("desc", description, id=f"{key}-desc"),
        *parts,
        viewBox=f"0 0 {size[0]:.0f} {size[1]:.0f}",
        role="img",
        aria_labelledby=f"{key}-title {key}-desc",
    )


def _name(key: str) -> str:
    return key.rstrip("_").replace("_", "-")


def _value(value: str | float) -> str:
    return str(escape(value)) if isinstance(value, str) else f"{value:.1f}"
