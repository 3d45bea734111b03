"""Signing in and out, and what a session is worth."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from service.domain.scopes import Scope
from service.evidence.tokens import new_token
from service.flows.desk_sessions import LONGEST, LONGEST_IDLE, Holder, sign_in
from service.flows.keys import revoke_key
from service.store.database import Unit
from service.store.tables import ApiKey, ApiToken, DeskSession
from tests.support.api import ADMIN_KEY, Api
from tests.support.desk import SAME_ORIGIN, Visitor, visitor


def session_of(api: Api) -> DeskSession:
    with api.store.read() as unit:
        return unit.session.scalars(select(DeskSession)).one()


def age(api: Api, **fields: object) -> None:
    """Change what is stored of the one session."""
    row = session_of(api)
    with api.store.write() as unit:
        stored = unit.session.get(DeskSession, row.id)
        for name, value in fields.items():
            setattr(stored, name, value)


def is_signed_in(somebody: Visitor) -> bool:
    response = somebody.get("/")
    assert response.status_code in (200, 303)
    return response.status_code == 200


def test_without_a_session_pages_lead_to_the_form_and_back(api: Api) -> None:
    somebody = Visitor(api.client_of(None))
    response = somebody.get("/desk/requests")
    assert response.status_code == 303
    assert response.headers["location"] == "/desk/sign-in?next=%2Fdesk%2Frequests"
    form = somebody.page(response.headers["location"])
    assert [one.attributes["value"] for one in form.all("input") if one.attributes["name"] == "next"] == [
        "/desk/requests"
    ]
    assert somebody.sign_in(ADMIN_KEY, "/desk/requests").headers["location"] == "/desk/requests"
    assert somebody.get("/desk/requests").status_code == 200


def test_an_api_key_opens_no_page_by_itself(api: Api) -> None:
    assert api.client.get("/desk/requests", follow_redirects=False).status_code == 303


def test_a_session_opens_no_route_of_the_api(api: Api) -> None:
    assert visitor(api).get("/v1/unlearning-requests").status_code == 401


@pytest.mark.parametrize("key", ["", "lethe_wrong", "x" * 5000, "é", "\0"])
def test_a_wrong_key_is_refused_and_not_repeated(api: Api, key: str) -> None:
    somebody = Visitor(api.client_of(None))
    response = somebody.sign_in(key)
    assert response.status_code == 401
    assert 'role="alert"' in response.text
    assert "set-cookie" not in response.headers
    assert not key or key not in response.text
    assert not is_signed_in(somebody)


@pytest.mark.parametrize(
    "next_", ["https://evil.example/", "//evil.example", "/\\evil.example", "/v1/keys", "/desk//x"]
)
def test_signing_in_leads_to_no_other_place(api: Api, next_: str) -> None:
    somebody = Visitor(api.client_of(None))
    assert somebody.sign_in(ADMIN_KEY, next_).headers["location"] == "/"


def test_the_cookie_is_for_this_site_and_no_script(api: Api) -> None:
    cookie = Visitor(api.client_of(None)).sign_in(ADMIN_KEY).headers["set-cookie"]
    assert cookie.startswith("lethe-desk=")
    assert {"HttpOnly", "SameSite=strict", "Path=/", "Max-Age=43200"} <= set(cookie.split("; "))
    assert "Secure" not in cookie


def test_over_https_the_cookie_is_bound_to_the_host(sqlite_url: str, tmp_path: Path) -> None:
    api = Api(tmp_path / "home", sqlite_url, public_url="https://lethe.example")
    cookie = Visitor(api.client_of(None)).sign_in(ADMIN_KEY).headers["set-cookie"]
    assert cookie.startswith("__Host-lethe-desk=")
    assert {"Secure", "HttpOnly", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
    assert "Domain" not in cookie
    api.store.close()


def test_the_cookie_is_stored_as_a_keyed_hash_only(api: Api, sqlite_url: str) -> None:
    cookie = visitor(api).client.cookies["lethe-desk"]
    assert session_of(api).id == api.vault.hashes.session(cookie)
    api.store.drop_history()
    assert cookie.encode() not in Path(sqlite_url.removeprefix("sqlite:///")).read_bytes()


def test_signing_out_ends_the_session_for_whoever_has_its_cookie(api: Api) -> None:
    somebody, thief = visitor(api), Visitor(api.client_of(None))
    thief.client.cookies.set("lethe-desk", somebody.client.cookies["lethe-desk"])
    assert is_signed_in(thief)
    assert somebody.post("/desk/sign-out").headers["location"] == "/desk/sign-in"
    assert not is_signed_in(somebody)
    assert not is_signed_in(thief)


def test_signing_in_again_ends_the_session_before(api: Api) -> None:
    somebody = visitor(api)
    before = somebody.client.cookies["lethe-desk"]
    somebody.sign_in(ADMIN_KEY)
    assert somebody.client.cookies["lethe-desk"] != before
    assert session_of(api).id == api.vault.hashes.session(somebody.client.cookies["lethe-desk"])


def key_of(unit: Unit) -> tuple[ApiToken, ApiKey]:
    row = unit.session.scalars(select(DeskSession)).one()
    found = unit.access.token(str(row.token_hash))
    assert found is not None
    return found


@pytest.mark.parametrize("end", ["the key is revoked", "the key expires", "the token is replaced"])
def test_a_session_ends_with_its_key(api: Api, end: str) -> None:
    somebody = visitor(api)
    assert is_signed_in(somebody)
    with api.store.write() as unit:
        token, key = key_of(unit)
        if end == "the key is revoked":
            revoke_key(unit, key.id, actor="test")
        elif end == "the key expires":
            key.expires_at = unit.now
        else:
            token.expires_at = unit.now
    assert not is_signed_in(somebody)


def test_whoever_guesses_keys_is_slowed_down(sqlite_url: str, tmp_path: Path) -> None:
    api = Api(tmp_path / "home", sqlite_url, rate_limit_failures=1)
    somebody = Visitor(api.client_of(None))
    statuses = [somebody.sign_in(new_token()).status_code for _ in range(20)]
    assert statuses[0] == 401
    assert statuses[-1] == 429
    api.store.close()


def test_pages_count_among_the_calls_of_the_key(sqlite_url: str, tmp_path: Path) -> None:
    api = Api(tmp_path / "home", sqlite_url, rate_limit=1)
    somebody = visitor(api)
    answers = [somebody.get("/desk/lines") for _ in range(20)]
    assert answers[0].status_code == 200
    assert answers[-1].status_code == 429
    assert "retry-after" in answers[-1].headers
    assert "too many calls" in answers[-1].text
    api.store.close()


def test_no_token_of_another_kind_is_taken_for_a_key(api: Api) -> None:
    assert Visitor(api.client_of(None)).sign_in("eyJhbGciOiJub25lIn0.e30.").status_code == 401


def test_a_session_ends_after_twelve_hours(api: Api) -> None:
    somebody, row = visitor(api), session_of(api)
    assert row.expires_at - row.created_at == LONGEST == timedelta(hours=12)
    age(api, expires_at=row.created_at)
    assert not is_signed_in(somebody)


def test_a_session_ends_after_an_hour_without_use(api: Api) -> None:
    somebody, row = visitor(api), session_of(api)
    age(api, seen_at=row.seen_at - LONGEST_IDLE + timedelta(minutes=1))
    assert is_signed_in(somebody)
    assert session_of(api).seen_at >= row.seen_at, "its use was noted"
    age(api, seen_at=row.seen_at - LONGEST_IDLE)
    assert not is_signed_in(somebody)


def test_a_page_that_refreshes_itself_is_no_use(api: Api) -> None:
    somebody, row = visitor(api), session_of(api)
    long_ago = row.seen_at - timedelta(minutes=30)
    age(api, seen_at=long_ago)
    assert somebody.client.get("/", headers={"lethe-refresh": "1"}).status_code == 200
    assert session_of(api).seen_at == long_ago


def test_whoever_holds_no_key_can_have_a_session_too(api: Api) -> None:
    """As somebody does who is known from an identity provider."""
    holder = Holder("person:1", "Jane <Doe>", frozenset({Scope.requests_read}), None)
    with api.store.write() as unit:
        token = sign_in(unit, api.vault, holder)
    somebody = Visitor(api.client_of(None))
    somebody.client.cookies.set("lethe-desk", token)
    page = somebody.page("/desk/requests")
    assert "Jane <Doe>" in page.all("header")[0].text
    assert somebody.get("/desk/lines").status_code == 403


def test_sessions_that_are_over_are_forgotten_at_the_next_sign_in(api: Api) -> None:
    visitor(api)
    over = session_of(api)
    age(api, seen_at=over.seen_at - LONGEST_IDLE)
    visitor(api)
    assert session_of(api).id != over.id


def test_signing_in_and_out_is_on_record(api: Api) -> None:
    somebody = visitor(api)
    with api.store.read() as unit:
        key = key_of(unit)[1].id
    somebody.post("/desk/sign-out")
    with api.store.read() as unit:
        rows = [(row.actor, row.action) for row in unit.feed.newest_audit_rows(2)]
    assert rows == [(key, "desk.signed_out"), (key, "desk.signed_in")]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://testserver"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"},
    ],
    ids=str,
)
def test_no_other_site_signs_anybody_in(api: Api, headers: dict[str, str]) -> None:
    response = api.client_of(None).post("/desk/sign-in", data={"key": ADMIN_KEY}, headers=headers)
    assert response.status_code == 403
    assert "set-cookie" not in response.headers


@pytest.mark.parametrize("headers", [{"Sec-Fetch-Site": "same-origin"}, {"Origin": "http://testserver"}, SAME_ORIGIN])
def test_either_header_proves_where_a_form_comes_from(api: Api, headers: dict[str, str]) -> None:
    response = api.client_of(None).post(
        "/desk/sign-in", data={"key": ADMIN_KEY}, headers=headers, follow_redirects=False
    )
    assert response.status_code == 303
