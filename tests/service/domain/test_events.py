"""The catalogue of event types, and filters over it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.domain.events import EVENT_TYPES, FILTER, TEST_EVENT, is_wanted, unknown_filters

SERVICE = Path(__file__).parents[3] / "service"


def emitted() -> Iterator[str]:
    """The types that the source names where it emits events."""
    for file in SERVICE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "emit":
                assert isinstance(node.args[0], ast.Constant), f"{file.name}:{node.lineno} emits no literal type"
                yield str(node.args[0].value)


def test_the_catalogue_holds_every_type_that_is_emitted_and_no_other() -> None:
    assert set(EVENT_TYPES) == set(emitted()), "bring service/domain/events.py up to date"
    assert TEST_EVENT not in EVENT_TYPES


def test_it_is_sorted_and_every_type_can_be_named_by_a_filter() -> None:
    assert list(EVENT_TYPES) == sorted(EVENT_TYPES)
    assert all(FILTER.fullmatch(type_) for type_ in EVENT_TYPES)


@pytest.mark.parametrize(
    ("type_", "filters", "wanted"),
    [
        ("request.state", None, True),
        ("run.progress", None, False),
        ("request.state", ["request.state"], True),
        ("request.state", ["request.*"], True),
        ("request.state", ["run.*", "alias.moved"], False),
        ("run.succeeded", ["run.*"], True),
        ("run.progress", ["run.*"], False),
        ("run.progress", ["run.*", "run.progress"], True),
        ("request.state", [], False),
    ],
)
def test_what_a_filter_lets_through(type_: str, filters: list[str] | None, wanted: bool) -> None:
    assert is_wanted(type_, filters) is wanted


def test_filters_that_match_nothing_are_found() -> None:
    assert unknown_filters(["request.*", "request.state", "run.progress"]) == []
    assert unknown_filters(["request.*", "request.stat", "requests.*", "req.*"]) == [1, 2, 3]
