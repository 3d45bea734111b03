"""News for open pages: the feed over a session, ending with it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from service.domain.engine import Stage
from service.domain.scopes import Scope
from service.flows import decide
from service.flows.keys import KeyOrder, create_key, revoke_key
from service.flows.progress import report_progress
from tests.support.api import Api
from tests.support.desk import visitor
from tests.support.house import House, people, remove
from tests.support.live_service import Service, live_service, opened_house


@pytest.fixture
def house(sqlite_url: str, tmp_path: Path) -> Iterator[House]:
    with opened_house(sqlite_url, tmp_path) as house:
        yield house


@pytest.fixture
def service(house: House, tmp_path: Path) -> Iterator[Service]:
    with live_service(house, tmp_path / "home") as service:
        yield service


@contextmanager
def signed_in(service: Service, key: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, timeout=20) as client:
        response = client.post("/desk/sign-in", data={"key": key}, headers={"Origin": service.url})
        assert response.status_code == 303
        yield client


def news(lines: Iterator[str]) -> str:
    """The next event's data."""
    return next(line for line in lines if line.startswith("data: ")).removeprefix("data: ")


def test_news_of_a_request_and_of_the_runs_that_serve_it(house: House, service: Service) -> None:
    line = house.line("bot", people(10))
    wanted = house.submit(remove("p1-0"))
    claimed = house.claim_queued(line)
    other = house.submit(remove("p2-0"))
    with (
        signed_in(service, service.key) as client,
        client.stream("GET", f"/desk/events?about={wanted}", headers={"Accept": "text/event-stream"}) as stream,
    ):
        assert stream.headers["content-type"].startswith("text/event-stream")
        with house.store.write() as unit:
            decide.hold(unit, other, actor="x", reason=None)
            report_progress(unit, claimed.run_id, claimed.fence, Stage.solving, 0.5)
        lines = stream.iter_lines()
        assert news(lines) == "run.progress"
        house.answer(claimed)
        assert news(lines) in ("certificate.issued", "request.state")


def test_the_stream_ends_with_the_session(house: House, service: Service) -> None:
    house.line("bot", people(10))
    with house.store.write() as unit:
        order = KeyOrder("desk", frozenset({Scope.events_read}))
        key, token = create_key(unit, house.vault, order, granted=frozenset(Scope), actor="test")
    with (
        signed_in(service, token) as client,
        client.stream("GET", "/desk/events", headers={"Accept": "text/event-stream"}) as stream,
    ):
        house.submit(remove("p1-0"))
        lines = stream.iter_lines()
        assert news(lines) == "request.created"
        with house.store.write() as unit:
            revoke_key(unit, key.id, actor="test")
        house.submit(remove("p2-0"))
        rest: list[str] = []
        reader = threading.Thread(target=lambda: rest.extend(lines))
        reader.start()
        reader.join(10)
        assert not reader.is_alive(), "the stream goes on"
        assert not [line for line in rest if line.startswith("data: ")]


def test_without_a_session_an_event_source_is_told_to_give_up(api: Api) -> None:
    response = api.client_of(None).get("/desk/events", headers={"Accept": "text/event-stream"})
    assert response.status_code == 204


def test_who_may_not_read_events_has_pages_that_ask_for_themselves(api: Api) -> None:
    api.line("bot", people(10))
    request_id = api.submit(remove("p1-0"))
    reader = visitor(api, Scope.requests_read)
    assert reader.get("/desk/events").status_code == 403
    (main,) = reader.page(f"/desk/requests/{request_id}").all("main")
    assert "data-poll" in main.attributes
    assert "data-news" not in main.attributes
