"""Every page: who may see it, what it may hold, and what it tells browsers to keep out."""

import re
from pathlib import Path

import pytest
from fastapi.routing import APIRoute
from sqlalchemy import create_engine

from service.api.desk.router import MODULES
from service.api.scopes import SCOPE_OF
from service.domain.scopes import EVERY_SCOPE, Scope
from service.store.migrate import upgrade
from tests.service.api.desk.conftest import Furnished
from tests.support.api import Api
from tests.support.desk import SAME_ORIGIN, Visitor, visitor
from tests.support.desk_world import HOSTILE, furnish
from tests.support.document import document
from tests.support.html_page import parsed

# Each page with the operation of the API that it stands for.
PAGES = {
    "/desk/requests": "list_requests",
    "/desk/requests.csv": "list_requests",
    "/desk/requests/{request}": "get_request",
    "/desk/requests/{request}/report": "get_report",
    "/desk/requests/{request}/receipt": "get_receipt",
    "/desk/requests/{request}/certificates/{certificate}": "list_certificates",
    "/desk/new": "create_plan",
    "/desk/summary": "get_summary",
    "/desk/summary.csv": "get_summary",
    "/desk/lines": "list_adapters",
    "/desk/lines/support-bot": "get_adapter",
    "/desk/webhooks": "list_webhook_endpoints",
    "/desk/webhooks/{hook}": "list_webhook_deliveries",
    "/desk/inbound": "list_inbound_endpoints",
    "/desk/audit": "export_audit",
    "/desk/audit/export": "export_audit",
}
HTML = [path for path in PAGES if not re.search(r"csv|receipt|certificate|export|report", path)]
POSTS = {
    "/desk/requests/subject": "search_requests",
    "/desk/requests/{request}/approve": "approve_request",
    "/desk/requests/{request}/reject": "reject_request",
    "/desk/requests/{request}/accept": "accept_request",
    "/desk/requests/{request}/cancel": "cancel_request",
    "/desk/requests/{request}/hold": "hold_request",
    "/desk/requests/{request}/release": "release_request",
    "/desk/requests/{request}/extend": "extend_request",
    "/desk/requests/{request}/retry": "retry_request",
    "/desk/new": "create_plan",
    "/desk/new/file": "create_request",
    "/desk/webhooks/{hook}/deliveries/{delivery}/resend": "resend_webhook_delivery",
}


def filled(path: str, furnished: Furnished) -> str:
    world = furnished.world
    with furnished.api.store.read() as unit:
        certificate = unit.requests.certificates(world.answered)[0].id
    return path.format(request=world.answered, certificate=certificate, hook=world.hook, delivery=world.delivery)


def paths_of(method: str) -> set[str]:
    routes = [route for module in MODULES for route in module.router.routes]
    return {route.path for route in routes if isinstance(route, APIRoute) and method in route.methods}


def test_this_table_holds_every_form() -> None:
    named = {re.sub(r"{(\w+)}", r"{\1_id}", path).replace("hook_id", "endpoint_id") for path in POSTS}
    assert paths_of("POST") - named == {"/desk/sign-in", "/desk/sign-out"}


@pytest.mark.parametrize("path", PAGES)
def test_without_a_session(furnished: Furnished, path: str) -> None:
    response = Visitor(furnished.api.client_of(None)).get(filled(path, furnished))
    assert response.status_code == 303
    assert response.headers["location"].startswith("/desk/sign-in")


@pytest.mark.parametrize(("path", "operation"), PAGES.items())
def test_the_scope_of_its_operation_is_enough(furnished: Furnished, path: str, operation: str) -> None:
    response = visitor(furnished.api, SCOPE_OF[operation]).get(filled(path, furnished))
    assert response.status_code == 200, response.text


@pytest.mark.parametrize(("path", "operation"), PAGES.items())
def test_all_other_scopes_are_not(furnished: Furnished, path: str, operation: str) -> None:
    response = visitor(furnished.api, *(EVERY_SCOPE - {SCOPE_OF[operation]})).get(filled(path, furnished))
    assert response.status_code == 403
    assert SCOPE_OF[operation] in parsed(response.text).text


@pytest.mark.parametrize(("path", "operation"), POSTS.items())
def test_no_form_is_accepted_without_the_scope(furnished: Furnished, path: str, operation: str) -> None:
    somebody = visitor(furnished.api, *(EVERY_SCOPE - {SCOPE_OF[operation]}))
    assert somebody.post(filled(path, furnished)).status_code == 403


@pytest.mark.parametrize("path", [*POSTS, "/desk/sign-out"])
@pytest.mark.parametrize(
    ("data", "headers"),
    [
        ({}, SAME_ORIGIN),
        ({"form_token": "0" * 64}, SAME_ORIGIN),
        (None, {"Origin": "https://evil.example"}),
        (None, {"Sec-Fetch-Site": "cross-site"}),
        (None, {}),
    ],
    ids=["no token", "another token", "another origin", "another site", "no origin"],
)
def test_no_form_of_another_site_is_accepted(furnished: Furnished, path: str, data, headers) -> None:
    somebody = visitor(furnished.api)
    given = {"form_token": somebody.token()} if data is None else data
    response = somebody.client.post(filled(path, furnished), data=given, headers=headers, follow_redirects=False)
    assert response.status_code == 403
    assert somebody.get("/").status_code == 200, "still signed in"


def test_the_token_of_another_session_is_no_good(furnished: Furnished) -> None:
    somebody, other = visitor(furnished.api), visitor(furnished.api)
    response = somebody.client.post("/desk/sign-out", data={"form_token": other.token()}, headers=SAME_ORIGIN)
    assert response.status_code == 403


@pytest.mark.parametrize("path", ["/", *PAGES, "/desk/sign-in", "/desk/requests/req_0"])
def test_what_browsers_are_told(furnished: Furnished, path: str) -> None:
    headers = visitor(furnished.api).get(filled(path, furnished)).headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == "'none'"
    assert policy["base-uri"] == "'none'"
    assert "unsafe-inline" not in policy.get("script-src", "")
    assert headers["referrer-policy"] in ("same-origin", "no-referrer")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] in ("no-store", "private, no-cache")


@pytest.mark.parametrize("path", ["/", *HTML, "/desk/sign-in"])
def test_pages_hold_nothing_inline_and_nothing_from_elsewhere(furnished: Furnished, path: str) -> None:
    page = visitor(furnished.api).page(filled(path, furnished))
    for element in page.elements:
        assert "style" not in element.attributes
        assert not [name for name in element.attributes if name.startswith("on")]
        for name in ("src", "href", "action"):
            assert element.attributes.get(name, "/").startswith(("/", "#")), element
    assert page.all("style") == []
    assert [one.text for one in page.all("script")] == [""]
    assert len(page.all("h1")) == 1
    assert page.all("html")[0].attributes["lang"] == "en"


@pytest.mark.parametrize(
    "path", ["/", "/desk/requests", "/desk/requests/{overdue}", "/desk/webhooks", "/desk/requests?reference={hostile}"]
)
def test_what_others_wrote_is_text(furnished: Furnished, path: str) -> None:
    filled_ = path.format(overdue=furnished.world.overdue, hostile=HOSTILE)
    response = visitor(furnished.api).get(filled_)
    assert HOSTILE not in response.text
    page = parsed(response.text)
    assert [one.attributes.get("src", "") for one in page.all("script")] == [page.all("script")[0].attributes["src"]]
    assert all(one.attributes["src"].startswith("/desk/static/") for one in page.all("img"))
    shown = page.text + "".join(one.attributes.get("value", "") for one in page.all("input"))
    assert HOSTILE in shown


def test_the_menu_offers_what_the_scopes_allow(furnished: Furnished) -> None:
    page = visitor(furnished.api, Scope.adapters_read, Scope.audit_read).page("/")
    links = [one.attributes["href"] for one in page.all("a") if "nav" in one.inside]
    assert links == ["/desk/lines", "/desk/audit"]


def test_keys_bound_to_lines_are_offered_nothing_of_the_whole_deployment(furnished: Furnished) -> None:
    bound = visitor(furnished.api, lines=["support-bot"])
    links = [one.attributes["href"] for one in bound.page("/").all("a") if "nav" in one.inside]
    assert links == ["/desk/requests", "/desk/summary", "/desk/lines"]
    for path in ("/desk/webhooks", "/desk/webhooks/{hook}", "/desk/inbound", "/desk/audit", "/desk/audit/export"):
        assert bound.get(filled(path, furnished)).status_code == 403


def test_what_is_of_other_lines_does_not_exist(furnished: Furnished) -> None:
    bound, world = visitor(furnished.api, lines=["sales-bot"]), furnished.world
    for path in (f"/desk/requests/{world.answered}", f"/desk/requests/{world.answered}/report",
                 f"/desk/requests/{world.answered}/receipt", "/desk/lines/support-bot",
                 "/desk/requests?adapter=support-bot", "/desk/requests.csv?adapter=support-bot"):  # fmt: skip
        assert bound.get(path).status_code == 404, path
    assert bound.post(f"/desk/requests/{world.running}/hold").status_code == 404
    page = bound.page("/desk/requests")
    assert world.answered not in str(page.elements)
    assert "DSR-2044" in page.text
    assert "DSR-2041" not in page.text
    start = bound.page("/")
    assert "support-bot" not in start.text


@pytest.mark.parametrize("path", ["/desk/requests/req_0", "/desk/lines/nobody", "/desk/webhooks/whe_0"])
def test_what_there_is_not_is_told_in_words(api: Api, path: str) -> None:
    response = visitor(api).get(path)
    assert response.status_code == 404
    assert response.headers["content-type"].startswith("text/html")
    assert "There is no such" in parsed(response.text).text


@pytest.mark.parametrize("path", ["/", *HTML[:1], "/desk/lines", "/desk/webhooks", "/desk/inbound", "/desk/audit"])
def test_pages_of_an_empty_deployment(api: Api, path: str) -> None:
    assert visitor(api).page(path).all("main")


def test_static_files_may_be_kept_because_their_address_changes_with_them(api: Api) -> None:
    page = Visitor(api.client_of(None)).page("/desk/sign-in")
    address = page.all("script")[0].attributes["src"]
    response = api.client_of(None).get(address)
    assert response.headers["content-type"].startswith("text/javascript")
    assert "immutable" in response.headers["cache-control"]
    assert re.search(r"\?[0-9a-f]{16}$", address)


def test_the_desk_is_no_part_of_the_documented_api() -> None:
    assert not [path for path in document()["paths"] if path == "/" or path.startswith("/desk")]


def test_every_page_on_both_databases(api_on_both: Api) -> None:
    own = Furnished(api_on_both, furnish(api_on_both))
    somebody = visitor(api_on_both)
    for path in ("/", *PAGES):
        response = somebody.get(filled(path, own))
        assert response.status_code == 200, response.text


@pytest.mark.postgres
def test_what_postgresql_cannot_store_is_told_in_words(postgres_url: str, tmp_path: Path) -> None:
    upgrade(postgres_url)
    api = Api(tmp_path / "home", postgres_url)
    response = visitor(api).get("/desk/requests?reference=%00")
    assert response.status_code == 422
    assert "cannot be stored" in parsed(response.text).text
    api.store.close()


def test_a_database_that_is_away_is_told_in_words(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    somebody = visitor(api)
    monkeypatch.setattr(api.store, "engine", create_engine("sqlite:////nowhere/lethe.db"))
    response = somebody.get("/desk/requests")
    assert response.status_code == 503
    assert response.headers["retry-after"] == "2"
    assert "does not answer" in parsed(response.text).text
