"""The events feed: one order for everything, as pages and as a stream that survives the server."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from service.api.routes import events as route
from service.client.sse import EventDecoder, ServerEvent
from service.domain.scopes import Scope
from tests.support.api import ADMIN_KEY, Api, assert_problem, removal
from tests.support.house import people
from tests.support.server import serving

URL = "/v1/events"


def types(items: list[dict[str, object]]) -> list[object]:
    return [item["type"] for item in items]


@contextmanager
def stream(
    url: str, *, key: str = ADMIN_KEY, last: str | None = None, **params: str
) -> Iterator[Iterator[ServerEvent]]:
    with stream_of_bytes(url, key=key, last=last, **params) as chunks:
        decoder = EventDecoder()
        yield (event for chunk in chunks for event in decoder.feed(chunk))


@contextmanager
def stream_of_bytes(
    url: str, *, key: str = ADMIN_KEY, last: str | None = None, **params: str
) -> Iterator[Iterator[bytes]]:
    headers = {"Authorization": f"Bearer {key}", "Accept": "text/event-stream"}
    if last is not None:
        headers["Last-Event-ID"] = last
    with (
        httpx.Client(base_url=url, timeout=10) as client,
        client.stream("GET", URL, params=params, headers=headers) as response,
    ):
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-store"
        yield response.iter_bytes()


def take(events: Iterator[ServerEvent], count: int) -> list[ServerEvent]:
    return [next(events) for _ in range(count)]


class TestPages:
    def test_everything_in_order(self, api: Api, line: str) -> None:
        before = api.client.get(URL).json()
        api.submit_over(api.client)
        api.serve(line)
        items = api.client.get(URL, params={"cursor": before["next_cursor"]}).json()["items"]
        assert [item["id"] for item in items] == sorted(item["id"] for item in items)
        assert types(items) == [
            "request.created",
            "request.state",
            "run.started",
            "version.ready",
            "alias.moved",
            "certificate.issued",
            "request.state",
            "run.succeeded",
        ]

    def test_filters(self, api: Api, line: str) -> None:
        api.line("other", people(4))
        request = api.client.post("/v1/unlearning-requests", json=removal("p1-0", adapters=["bot"])).json()["id"]
        claimed = api.serve(line)
        of_other = api.client.get(URL, params={"adapter": "other"}).json()["items"]
        assert {item["adapter"] for item in of_other} == {"other"}
        of_request = api.client.get(URL, params={"request": request}).json()["items"]
        assert types(of_request) == ["request.created", "request.state", "certificate.issued", "request.state"]
        of_run = api.client.get(URL, params={"run": claimed.run_id}).json()["items"]
        assert types(of_run) == ["run.started", "run.succeeded"]

    def test_pages_go_on_where_the_last_one_ended_even_at_the_end(self, api: Api, line: str) -> None:
        whole = api.client.get(URL).json()["items"]
        first = api.client.get(URL, params={"limit": 2}).json()
        rest = api.client.get(URL, params={"cursor": first["next_cursor"]}).json()
        assert first["items"] + rest["items"] == whole
        nothing = api.client.get(URL, params={"cursor": rest["next_cursor"]}).json()
        assert nothing["items"] == []
        api.client.post("/v1/unlearning-requests", json=removal("p1-0"))
        more = api.client.get(URL, params={"cursor": nothing["next_cursor"]}).json()
        assert "request.created" in types(more["items"])

    def test_from_now_on(self, api: Api, line: str) -> None:
        page = api.client.get(URL, params={"start": "now"}).json()
        assert page["items"] == []
        api.client.post("/v1/unlearning-requests", json=removal("p1-0"))
        assert api.client.get(URL, params={"cursor": page["next_cursor"]}).json()["items"]

    def test_a_cursor_belongs_to_its_filter(self, api: Api, line: str) -> None:
        cursor = api.client.get(URL, params={"adapter": "bot"}).json()["next_cursor"]
        assert_problem(api.client.get(URL, params={"cursor": cursor}), 400, "invalid-cursor")

    @pytest.mark.parametrize("last", ["x", "-1", "1" * 30, "٣"])
    def test_a_last_event_that_is_none(self, api: Api, last: str) -> None:
        response = api.client.get(URL, headers={"Last-Event-ID": last.encode()})  # type: ignore[dict-item]
        assert_problem(response, 400, "invalid-event-id", field="Last-Event-ID")


class TestStream:
    @pytest.fixture
    def url(self, api: Api) -> Iterator[str]:
        with serving(api.app) as url:
            yield url

    def test_what_happened_and_then_what_happens(self, api: Api, line: str, url: str) -> None:
        known = api.client.get(URL).json()["items"]
        with stream(url) as events:
            replayed = take(events, len(known))
            assert [int(event.id) for event in replayed] == [item["id"] for item in known]
            api.submit_over(api.client)
            fresh = next(events)
        assert fresh.type == "request.created"
        assert int(fresh.id) > int(replayed[-1].id)
        assert '"state":"queued"' in fresh.data

    def test_news_arrives_at_once(self, api: Api, line: str, url: str) -> None:
        with stream(url, start="now") as events:
            timer = threading.Timer(0.3, lambda: api.submit_over(api.client))
            timer.start()
            event = next(events)
            arrived = time.time()
            timer.join()
        with api.store.read() as unit:
            (row,) = unit.feed.events(int(event.id) - 1, limit=1)
        assert arrived - row.created_at.timestamp() < 1.0

    def test_it_says_where_it_starts_before_anything_happens(self, api: Api, line: str, url: str) -> None:
        """Or who is cut off while nothing happens would start anew, after what happened meanwhile."""
        with api.store.read() as unit:
            newest = unit.feed.last_seq()
        with stream_of_bytes(url, start="now") as chunks:
            decoder = EventDecoder()
            assert list(decoder.feed(next(chunks))) == []
        assert decoder.last_event_id == str(newest)

    def test_filters(self, api: Api, line: str, url: str) -> None:
        request = api.submit_over(api.client)
        api.serve(line)
        with stream(url, request=request) as events:
            assert [event.type for event in take(events, 4)] == [
                "request.created", "request.state", "certificate.issued", "request.state",
            ]  # fmt: skip

    def test_it_resumes_after_the_last_event(self, api: Api, line: str, url: str) -> None:
        with stream(url) as events:
            last = take(events, 3)[-1]
        api.submit_over(api.client)
        with stream(url, last=last.id) as events:
            rest = take(events, len(api.client.get(URL).json()["items"]) - 3)
        assert int(rest[0].id) == int(last.id) + 1
        assert rest[-1].type == "request.created"

    def test_silence_is_filled_with_comments(
        self, api: Api, line: str, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(route, "HEARTBEAT_S", 0.1)
        headers = {"Authorization": f"Bearer {ADMIN_KEY}", "Accept": "text/event-stream"}
        with httpx.stream("GET", url + URL, params={"start": "now"}, headers=headers) as response:
            lines = response.iter_lines()
            assert any(line.startswith(": ping") for line in lines)

    def test_many_streams_and_one_poll(self, api: Api, line: str, url: str) -> None:
        received: list[str] = []

        def listen() -> None:
            with stream(url, start="now") as events:
                ready.release()
                received.append(next(events).type)

        ready = threading.Semaphore(0)
        listeners = [threading.Thread(target=listen) for _ in range(8)]
        for listener in listeners:
            listener.start()
        for _ in listeners:
            ready.acquire()
        api.submit_over(api.client)
        for listener in listeners:
            listener.join(timeout=10)
        assert received == ["request.created"] * 8

    def test_a_bound_key_hears_of_its_lines_only(self, api: Api, line: str, url: str) -> None:
        api.line("other", people(4))
        key = api.token_of(Scope.events_read, lines=["other"])
        with stream(url, key=key, adapter="bot", start="beginning") as _:
            pass
        with stream(url, key=key) as events:
            seen = take(events, 5)
        assert all('"adapter":"other"' in event.data for event in seen)

    def test_it_ends_when_its_key_is_revoked(self, api: Api, line: str, url: str) -> None:
        made = api.client.post("/v1/keys", json={"name": "k", "scopes": ["events:read"]}).json()
        with stream(url, key=made["token"], start="now") as events:
            api.submit_over(api.client, "p1-0")
            assert next(events).type == "request.created"
            assert api.client.delete(f"/v1/keys/{made['id']}").status_code == 204
            api.submit_over(api.client, "p2-0")
            assert [event.data for event in events if "request.created" in event.type] == []


def test_a_stream_outlives_the_server(api: Api, line: str) -> None:
    """The client goes on with another server of the same database after the event it had last."""
    with serving(api.app) as url, stream(url) as events:
        seen = take(events, 4)
    with serving(api.app_of()) as url, stream(url, last=seen[-1].id) as events:
        seen += take(events, 2)
    ids = [int(event.id) for event in seen]
    assert ids == [item["id"] for item in api.client.get(URL, params={"limit": 6}).json()["items"]]
