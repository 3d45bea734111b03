"""Pages: complete, without repeats, and with cursors that fit one list, filter and caller only."""

import base64

import pytest

from service.domain.scopes import Scope
from tests.support.api import Api, assert_problem, removal
from tests.support.house import people


@pytest.fixture
def lines(api: Api) -> list[str]:
    names = [f"bot-{number}" for number in range(7)]
    for name in names:
        api.client.post("/v1/adapters", json={"name": name, "base_model": {"path": "/base"}})
    return names


def walk(api: Api, path: str, **params: str | int) -> list[list[dict[str, object]]]:
    pages, cursor = [], None
    while True:
        page = api.client.get(path, params={**params, **({} if cursor is None else {"cursor": cursor})}).json()
        pages.append(page["items"])
        cursor = page["next_cursor"]
        if cursor is None:
            return pages


def test_all_items_once_and_newest_first(api: Api, lines: list[str]) -> None:
    pages = walk(api, "/v1/adapters", limit=3)
    assert [len(page) for page in pages] == [3, 3, 1]
    assert [item["name"] for page in pages for item in page] == lines[::-1]


def test_a_page_that_ends_the_list_has_no_cursor(api: Api, lines: list[str]) -> None:
    assert [len(page) for page in walk(api, "/v1/adapters", limit=7)] == [7]
    assert walk(api, "/v1/datasets") == [[]]


def test_what_is_added_meanwhile_does_not_shift_a_page(api: Api, lines: list[str]) -> None:
    first = api.client.get("/v1/adapters", params={"limit": 3}).json()
    api.client.post("/v1/adapters", json={"name": "newcomer", "base_model": {"path": "/base"}})
    second = api.client.get("/v1/adapters", params={"limit": 3, "cursor": first["next_cursor"]}).json()
    assert [item["name"] for item in second["items"]] == ["bot-3", "bot-2", "bot-1"]


def test_more_than_the_most_is_the_most(api: Api, lines: list[str]) -> None:
    assert len(api.client.get("/v1/adapters", params={"limit": 1_000_000}).json()["items"]) == 7


@pytest.mark.parametrize("limit", ["0", "-1", "many"])
def test_a_limit_that_is_none(api: Api, limit: str) -> None:
    assert_problem(api.client.get("/v1/adapters", params={"limit": limit}), 422, "invalid-input", field="limit")


class TestCursor:
    def cursor(self, api: Api) -> str:
        return str(api.client.get("/v1/adapters", params={"limit": 1}).json()["next_cursor"])

    def test_it_tells_nothing(self, api: Api, lines: list[str]) -> None:
        with api.store.read() as unit:
            newest = unit.lines.page_of_lines(after=None, limit=1).items[0].id
        assert newest.encode() not in base64.urlsafe_b64decode(self.cursor(api))

    @pytest.mark.parametrize("cursor", ["x", "MQ==", "é", "A" * 300, base64.urlsafe_b64encode(bytes(200)).decode()])
    def test_one_that_was_made_up(self, api: Api, lines: list[str], cursor: str) -> None:
        response = api.client.get("/v1/adapters", params={"cursor": cursor})
        assert_problem(response, 400, "invalid-cursor", field="cursor")

    def test_one_that_was_altered(self, api: Api, lines: list[str]) -> None:
        cursor = self.cursor(api)
        altered = cursor[:-4] + ("AAAA" if cursor[-4:] != "AAAA" else "BBBB")
        assert_problem(api.client.get("/v1/adapters", params={"cursor": altered}), 400, "invalid-cursor")

    def test_one_of_another_list(self, api: Api, lines: list[str]) -> None:
        response = api.client.get("/v1/datasets", params={"cursor": self.cursor(api)})
        assert_problem(response, 400, "invalid-cursor")

    def test_one_of_another_caller(self, api: Api, lines: list[str]) -> None:
        other = api.client_with(Scope.adapters_read)
        assert_problem(other.get("/v1/adapters", params={"cursor": self.cursor(api)}), 400, "invalid-cursor")

    def test_one_of_another_filter(self, api: Api) -> None:
        api.line("bot", people(10))
        for number in range(3):
            api.client.post("/v1/unlearning-requests", json=removal(f"p{number}-0"))
        first = api.client.get("/v1/unlearning-requests", params={"state": "queued", "limit": 1}).json()
        cursor = first["next_cursor"]
        same = api.client.get("/v1/unlearning-requests", params={"state": "queued", "cursor": cursor})
        assert len(same.json()["items"]) == 2
        other = api.client.get("/v1/unlearning-requests", params={"state": "succeeded", "cursor": cursor})
        assert_problem(other, 400, "invalid-cursor")


def test_every_list_is_paged(api: Api) -> None:
    line = api.line("bot", people(10))
    for number in range(2):
        api.client.post("/v1/unlearning-requests", json=removal(f"p{number}-0"))
        api.serve(line)
    api.client_with(Scope.runs_read)
    for path in (
        "/v1/datasets",
        "/v1/adapters/bot/versions",
        "/v1/unlearning-requests",
        "/v1/runs",
        "/v1/audit",
        "/v1/keys",
    ):
        whole = [item for page in walk(api, path, limit=1000) for item in page]
        singly = walk(api, path, limit=1)
        assert len(whole) >= 2, path
        assert [len(page) for page in singly] == [1] * len(whole), path
        assert [page[0] for page in singly] == whole, path
