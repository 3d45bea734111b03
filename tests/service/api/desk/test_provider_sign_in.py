"""Signing in to the desk at a real identity provider, and what must not work."""

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from service.api.oidc import code_flow
from service.api.oidc.code_flow import PATIENCE_S
from tests.support.api import Api, removal
from tests.support.desk import Visitor
from tests.support.house import people
from tests.support.html_page import parsed
from tests.support.oidc import AUDIENCE, RealProvider, Signer, issuer, real_provider

pytestmark = pytest.mark.slow

CLIENT = "the-desk"
START = "/desk/sign-in/provider"
GRANTS = [{"claim": "groups", "value": "privacy", "scopes": "all"}]


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealProvider]:
    with real_provider(tmp_path_factory.mktemp("provider") / "log") as real:
        real.set_person("ann", groups=["privacy"], email="ann@example.com")
        real.set_person("bob")
        yield real


@pytest.fixture
def trusting(sqlite_url: str, tmp_path: Path) -> Iterator[Callable[..., Api]]:
    made: list[Api] = []

    def make(url: str, **settings: object) -> Api:
        grants = tmp_path / "grants.json"
        grants.write_text(json.dumps(GRANTS))
        settings = {
            "oidc_issuer": url, "oidc_audience": AUDIENCE, "oidc_grants": grants, "oidc_client_id": CLIENT,
            "oidc_client_secret": "secret&of=the desk", "allow_http": True, "allow_networks": "127.0.0.0/8",
            **settings,
        }  # fmt: skip
        made.append(Api(tmp_path / "home", sqlite_url, **settings))
        return made[-1]

    yield make
    for api in made:
        api.store.close()


@pytest.fixture
def api(trusting: Callable[..., Api], real: RealProvider) -> Api:
    return trusting(real.url)


def at_provider(url: str, subject: str) -> str:
    """What a person does there: the path and query with which the browser comes back."""
    sent_back = httpx.post(url, data={"sub": subject})
    assert sent_back.status_code == 302, sent_back.text
    back = urlsplit(sent_back.headers["Location"])
    return f"{back.path}?{back.query}"


def begun(somebody: Visitor, next_: str = "/") -> str:
    response = somebody.get(f"{START}?next={next_}")
    assert response.status_code == 303, response.text
    return response.headers["Location"]


def somebody_at(api: Api) -> Visitor:
    return Visitor(api.client_of(None))


class TestSigningIn:
    def test_from_the_form_to_the_page_that_was_asked_for(self, api: Api, real: RealProvider) -> None:
        somebody = somebody_at(api)
        form = somebody.page("/desk/sign-in?next=/desk/requests")
        (link,) = [one for one in form.all("a") if one.attributes["href"].startswith(START)]
        to_provider = somebody.get(link.attributes["href"]).headers["Location"]
        response = somebody.get(at_provider(to_provider, "ann"))
        assert response.status_code == 200
        (refresh,) = [one for one in parsed(response.text).all("meta") if one.attributes.get("http-equiv")]
        assert refresh.attributes["content"] == "0;url=/desk/requests"
        assert somebody.get("/desk/requests").status_code == 200

    def test_what_is_asked_for_at_the_provider(self, api: Api, real: RealProvider) -> None:
        url = begun(somebody_at(api))
        asked = {name: value[0] for name, value in parse_qs(urlsplit(url).query).items()}
        assert url.startswith(f"{real.url}/oauth2/authorize?")
        assert asked.keys() == {
            "response_type", "client_id", "redirect_uri", "scope", "state", "nonce", "code_challenge",
            "code_challenge_method",
        }  # fmt: skip
        assert (asked["response_type"], asked["client_id"], asked["scope"]) == ("code", CLIENT, "openid")
        assert asked["redirect_uri"] == f"{api.settings.url}{START}/callback"
        assert asked["code_challenge_method"] == "S256"
        assert min(len(asked[name]) for name in ("state", "nonce", "code_challenge")) >= 43

    def test_the_session_is_the_persons_and_names_nobody(self, api: Api, real: RealProvider) -> None:
        api.line("bot", people(6), require_approval=True)
        bearer = api.client_of(real.token("ann", client=AUDIENCE))
        filed = bearer.post("/v1/unlearning-requests", json=removal("p1-0")).json()["id"]
        somebody = somebody_at(api)
        somebody.get(at_provider(begun(somebody), "ann"))
        refused = somebody.post(f"/desk/requests/{filed}/approve")
        assert refused.status_code == 403
        assert "may not approve" in refused.text
        audit = api.client.get("/v1/audit").json()["items"]
        (signed_in,) = [row for row in audit if row["action"] == "desk.signed_in"]
        (created,) = [row for row in audit if row["action"] == "request.created"]
        assert signed_in["actor"] == created["actor"]
        assert "example.com" not in json.dumps(audit) + somebody.get("/").text

    def test_cookies_are_for_this_site_and_no_script(self, api: Api) -> None:
        cookie = somebody_at(api).get(START).headers["set-cookie"]
        assert {"HttpOnly", "SameSite=lax", "Path=/", f"Max-Age={PATIENCE_S}"} <= set(cookie.split("; "))


class TestRefused:
    def refused(self, somebody: Visitor, back: str, status: int, told: str) -> None:
        response = somebody.get(back)
        assert response.status_code == status, response.text
        assert told in response.text
        assert somebody.get("/").status_code == 303

    def test_nobody_without_a_rule(self, api: Api) -> None:
        somebody = somebody_at(api)
        self.refused(somebody, at_provider(begun(somebody), "bob"), 403, "Nothing is granted")

    def test_what_another_browser_began(self, api: Api) -> None:
        """Else somebody could be signed in as the one who sent them a link."""
        mallory, victim = somebody_at(api), somebody_at(api)
        back = at_provider(begun(mallory), "ann")
        self.refused(victim, back, 401, "not begun in this browser")
        begun(victim)
        self.refused(victim, back, 401, "not begun in this browser")

    def test_a_code_is_good_once(self, api: Api) -> None:
        somebody = somebody_at(api)
        back = at_provider(begun(somebody), "ann")
        cookies = dict(somebody.client.cookies)
        assert somebody.get(back).status_code == 200
        again = somebody_at(api)
        again.client.cookies.update(cookies)
        self.refused(again, back, 401, "did not confirm")

    def test_too_late(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        somebody = somebody_at(api)
        monkeypatch.setattr(code_flow, "PATIENCE_S", -1)
        self.refused(somebody, at_provider(begun(somebody), "ann"), 401, "took too long")

    def test_what_was_not_confirmed(self, api: Api) -> None:
        somebody = somebody_at(api)
        state = parse_qs(urlsplit(begun(somebody)).query)["state"][0]
        for answer in ("error=access_denied", "", "code=made-up"):
            begun_again = f"{START}/callback?{answer}&state={state}"
            copy = somebody_at(api)
            copy.client.cookies.update(dict(somebody.client.cookies))
            self.refused(copy, begun_again, 401, "did not confirm")

    def test_the_answer_of_another_provider(self, api: Api) -> None:
        somebody = somebody_at(api)
        back = at_provider(begun(somebody), "ann")
        self.refused(somebody, f"{back}&iss=https%3A%2F%2Fevil.example", 401, "another provider")

    @pytest.mark.parametrize("kept", ["", "x", "AAAA" * 40, "é"])
    def test_attempts_that_are_made_up(self, api: Api, kept: str) -> None:
        somebody = somebody_at(api)
        response = somebody.client.get(
            f"{START}/callback?code=x&state=", headers={"Cookie": f"lethe-attempt={kept}".encode("latin-1")}
        )
        assert response.status_code == 401

    @pytest.mark.parametrize("next_", ["https://evil.example", "//evil.example", "/v1/keys", '/desk/"><script>'])
    def test_it_leads_to_no_other_place(self, api: Api, next_: str) -> None:
        somebody = somebody_at(api)
        page = parsed(somebody.get(at_provider(begun(somebody, next_), "ann")).text)
        (refresh,) = [one for one in page.all("meta") if one.attributes.get("http-equiv")]
        assert refresh.attributes["content"] == "0;url=/"

    def test_while_the_provider_is_away(self, trusting: Callable[..., Api], tmp_path: Path) -> None:
        with real_provider(tmp_path / "log") as gone:
            api = trusting(gone.url)
        response = somebody_at(api).get(START)
        assert (response.status_code, "cannot be read" in response.text) == (503, True)

    def test_where_it_is_switched_off(self, trusting: Callable[..., Api], real: RealProvider) -> None:
        somebody = somebody_at(trusting(real.url, oidc_client_id=None))
        assert somebody.get(START).status_code == 404
        assert START not in somebody.get("/desk/sign-in").text


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"nonce": "another"}, "token-wrong-nonce"),
        ({"nonce": None}, "token-wrong-nonce"),
        ({"aud": AUDIENCE}, "token-wrong-audience"),
        ({"azp": "another-client"}, "token-wrong-audience"),
        ({"iss": "https://evil.example"}, "token-wrong-issuer"),
        ({}, None),
    ],
)
def test_the_token_is_of_this_sign_in(
    trusting: Callable[..., Api], claims: dict[str, str | None], code: str | None
) -> None:
    signer = Signer.new("k")
    with issuer(signer) as provider:
        flow = trusting(provider.url).app.state.context.code_flow
        token = signer.sign(provider.claims(**{"aud": CLIENT, "nonce": "n", **claims}))
        if code is None:
            assert flow.provider.signed_in(token, client_id=CLIENT, nonce="n").id.startswith("oidc:")
            return
        with pytest.raises(code_flow.Unauthenticated) as refused:
            flow.provider.signed_in(token, client_id=CLIENT, nonce="n")
        assert refused.value.code == code


@pytest.mark.parametrize("secret", ["secret&of=the desk", None])
def test_how_the_desk_says_who_it_is(trusting: Callable[..., Api], secret: str | None) -> None:
    """By its secret, encoded as RFC 6749 has it; without one by its name. The verifier is sent in any case."""
    signer = Signer.new("k")
    with issuer(signer) as provider:
        flow = trusting(provider.url, oidc_client_secret=secret).app.state.context.code_flow
        url, attempt = flow.begin("/")
        provider.token = signer.sign(provider.claims(aud=CLIENT, nonce=attempt.nonce))
        assert flow.finish(f"code=c&state={attempt.state}", attempt).id.startswith("oidc:")
        challenge = parse_qs(urlsplit(url).query)["code_challenge"][0]
        digest = hashlib.sha256(provider.posted.pop("code_verifier").encode()).digest()
        assert base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == challenge
        authorization = provider.posted.pop("authorization")
        body = {"grant_type": "authorization_code", "code": "c", "redirect_uri": flow.client.redirect_uri}
        if secret is None:
            assert (provider.posted, authorization) == ({**body, "client_id": CLIENT}, "")
        else:
            given = base64.b64decode(authorization.removeprefix("Basic ")).decode()
            assert (provider.posted, given) == (body, f"{CLIENT}:secret%26of%3Dthe%20desk")
