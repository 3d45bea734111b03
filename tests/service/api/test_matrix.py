"""Every route, against no key, a key without its scope, a key with nothing else, and a key bound to another line.

Generated from the app's routes: a new one is covered as soon as it is there (`tests/support/matrix.py`).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from service.api.app import bare_app
from service.api.scopes import BY_AGENT, BY_SIGNATURE, SCOPE_OF
from service.domain.scopes import Scope
from tests.service.api.test_scopes import OPEN
from tests.support.api import assert_problem
from tests.support.document import document
from tests.support.matrix import (
    BODIES,
    COUNTING,
    FREE,
    MADE_UP,
    OF_A_LINE,
    OF_THE_DEPLOYMENT,
    Operation,
    Things,
    World,
    build,
    dump,
    operations,
)

pytestmark = pytest.mark.slow

APP = bare_app()
DOCUMENT = document()
EVERY = list(operations(APP))
GUARDED = [one for one in EVERY if one.path not in OPEN and one.id not in BY_SIGNATURE | BY_AGENT]
NAMING = [one for one in GUARDED if one.parameters & OF_A_LINE]
GENERAL = [one for one in GUARDED if not one.parameters & OF_A_LINE and one.parameters & OF_THE_DEPLOYMENT]
# Query parameters that name something of a line, and the path parameter that does elsewhere.
FILTERS = {"adapter": "name", "request": "request_id", "run": "run_id"}
NAMELESS = [one for one in GUARDED if one not in NAMING + GENERAL]


def named(operation: Operation) -> str:
    return f"{operation.method} {operation.id}"


def each(which: list[Operation]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("operation", which, ids=named)


@pytest.fixture(scope="module")
def world(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """For calls that are refused, or only read."""
    world = build(tmp_path_factory.mktemp("matrix") / "home", migrated_sqlite)
    yield world
    world.api.store.close()


@pytest.fixture
def fresh(world: World, tmp_path: Path) -> Iterator[World]:
    """For calls that may change things."""
    copy = world.copy(tmp_path / "home")
    yield copy
    copy.api.store.close()


def call(client: TestClient, operation: Operation, things: Things, **options: Any) -> httpx.Response:
    body = BODIES.get(operation.id)
    return client.request(
        operation.method,
        things.url(operation, **options),
        json=None if body is None else body(things),
        follow_redirects=False,
    )


class TestTheTables:
    """What a new route needs here."""

    @each(EVERY)
    def test_every_path_parameter_is_known(self, operation: Operation) -> None:
        assert operation.parameters <= OF_A_LINE | OF_THE_DEPLOYMENT | FREE.keys(), "add it to tests/support/matrix.py"

    @each(EVERY)
    def test_every_body_that_is_asked_for_is_there(self, operation: Operation) -> None:
        described = DOCUMENT["paths"].get(operation.path.replace(":path}", "}"), {}).get(operation.method.lower(), {})
        if described.get("requestBody", {}).get("required"):
            assert operation.id in BODIES, "add one to tests/support/matrix.py"

    def test_they_hold_nothing_else(self) -> None:
        assert set(BODIES) <= {one.id for one in EVERY}
        assert OF_A_LINE | OF_THE_DEPLOYMENT | FREE.keys() == set().union(*(one.parameters for one in EVERY))


@each(GUARDED)
def test_without_a_key(world: World, operation: Operation) -> None:
    response = call(world.api.client_of(None), operation, world.mine)
    if operation.method == "HEAD":
        assert response.status_code == 401
    else:
        assert_problem(response, 401, "unauthenticated")
    assert response.headers["WWW-Authenticate"] == "Bearer"


@each(GUARDED)
def test_without_its_scope(world: World, operation: Operation) -> None:
    scope = SCOPE_OF[operation.id]
    client = world.api.client_with(*(one for one in Scope if one is not scope))
    for things in ({"instead": None}, {"instead": MADE_UP}):
        response = call(client, operation, world.mine, **things)
        assert response.status_code == 403
        if operation.method != "HEAD":
            assert_problem(response, 403, "missing-scope", scope=scope)


@each(GUARDED)
def test_with_its_scope_and_no_other(world: World, operation: Operation, request: pytest.FixtureRequest) -> None:
    place: World = request.getfixturevalue("fresh") if operation.changes else world
    response = call(place.api.client_with(SCOPE_OF[operation.id]), operation, place.mine)
    assert response.status_code < 500
    assert response.status_code != 401
    if response.status_code == 403:
        assert response.json()["code"] == "scope-not-held", response.text


@each(NAMING)
def test_what_belongs_to_another_line_is_not_there(world: World, operation: Operation) -> None:
    client, before = world.api.client_of(world.bound), seen(world)
    foreign, nothing = (call(client, operation, world.theirs, instead=one) for one in (None, MADE_UP))
    assert foreign.status_code == nothing.status_code == 404, foreign.text
    assert foreign.content == nothing.content
    assert tell_nothing(foreign, world.theirs)
    assert seen(world) == before


@each(NAMING)
def test_and_that_is_the_reason(world: World, operation: Operation, request: pytest.FixtureRequest) -> None:
    """A key of all lines gets at it by the same call, or is told something else."""
    place: World = request.getfixturevalue("fresh") if operation.changes else world
    bound, unbound = (
        call(place.api.client_of(token), operation, place.theirs) for token in (place.bound, place.api.token_of())
    )
    assert (bound.status_code, bound.content) != (unbound.status_code, unbound.content)
    assert unbound.status_code < 500


@each(GENERAL)
def test_what_concerns_the_whole_deployment_is_not_for_bound_keys(world: World, operation: Operation) -> None:
    client, before = world.api.client_of(world.bound), seen(world)
    for instead in (None, MADE_UP):
        assert_problem(call(client, operation, world.theirs, instead=instead), 403, "key-is-bound")
    assert seen(world) == before


@each(NAMELESS)
def test_what_names_nothing_in_its_path_tells_and_changes_nothing_of_another_line(
    world: World, operation: Operation, request: pytest.FixtureRequest
) -> None:
    place: World = request.getfixturevalue("fresh") if operation.changes else world
    before = seen(place)
    response = call(place.api.client_of(place.bound), operation, place.theirs)
    assert response.status_code < 500
    assert tell_nothing(response, place.theirs)
    assert seen(place) == before
    if not operation.changes and response.status_code == 200:
        everything = call(place.api.client, operation, place.theirs)
        tells = everything.json() != response.json() if operation.id in COUNTING else None
        assert tells or not tell_nothing(everything, place.theirs), "the check above could not fail"


@pytest.mark.parametrize(
    ("operation", "parameter"),
    [
        (one, parameter["name"])
        for one in NAMELESS
        for parameter in DOCUMENT["paths"].get(one.path, {}).get(one.method.lower(), {}).get("parameters", ())
        if parameter["in"] == "query" and parameter["name"] in FILTERS
    ],
    ids=lambda one: named(one) if isinstance(one, Operation) else one,
)
def test_filters_find_nothing_of_another_line(world: World, operation: Operation, parameter: str) -> None:
    things, client = world.theirs, world.api.client_of(world.bound)
    value = things.named[FILTERS[parameter]]
    response = client.get(operation.path, params={parameter: value})
    if response.status_code == 404:
        assert value not in response.text
    else:
        assert response.json()["items"] == []
    found = world.api.client.get(operation.path, params={parameter: value})
    assert found.status_code == 200
    assert found.json().get("items") != []


def seen(world: World) -> str:
    """What a key of all lines sees of theirs."""
    client, named = world.api.client, world.theirs.named
    line = f"/v1/adapters/{named['name']}"
    paths = [line, f"{line}/versions", f"{line}/aliases", f"/v1/unlearning-requests/{named['request_id']}"]
    paths += [f"/v1/runs/{named['run_id']}", f"/v1/datasets/{named['dataset_id']}"]
    listed = client.get("/v1/unlearning-requests", params={"adapter": named["name"]}).json()
    return dump([listed, *(client.get(path).json() for path in paths)])


def tell_nothing(response: httpx.Response, things: Things) -> bool:
    told = response.text + str(response.headers)
    return not any(mark in told for mark in things.marks)
