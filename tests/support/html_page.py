"""A page as a test sees it, read by the standard library and strict about nesting."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = frozenset({"meta", "link", "br", "hr", "img", "input"})
Attributes = dict[str, str]


@dataclass
class Element:
    tag: str
    attributes: Attributes
    inside: tuple[str, ...]
    text: str = ""

    @property
    def classes(self) -> list[str]:
        return self.attributes.get("class", "").split()


@dataclass
class Page(HTMLParser):
    """Every element in document order, with all the text within it. Raises AssertionError where tags do not match."""

    elements: list[Element] = field(default_factory=list)
    open: list[Element] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"an attribute twice in {tag}"
        element = Element(tag, {name: value or "" for name, value in attrs}, tuple(outer.tag for outer in self.open))
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> without a start"
        assert self.open[-1].tag == tag, f"</{tag}> ends {self.open[-1].tag}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        for element in self.open:
            element.text += data

    def all(self, tag: str, class_: str | None = None) -> list[Element]:
        return [one for one in self.elements if one.tag == tag and (class_ is None or class_ in one.classes)]

    @property
    def text(self) -> str:
        """What people read: everything within `main` and `header`."""
        return " ".join(" ".join(one.text for one in self.elements if one.tag in ("header", "main")).split())


def parsed(html: str) -> Page:
    page = Page()
    page.feed(html)
    page.close()
    assert not page.open, f"left open: {[one.tag for one in page.open]}"
    return page
