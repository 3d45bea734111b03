"""Somebody at the desk: a browser without JavaScript, as far as a test needs one."""

import re
from dataclasses import dataclass
from html import unescape

import httpx
from fastapi.testclient import TestClient

from service.api.desk.forms import TOKEN
from service.domain.scopes import Scope
from tests.support.api import Api
from tests.support.html_page import Page, parsed

SAME_ORIGIN = {"Origin": "http://testserver", "Sec-Fetch-Site": "same-origin"}
_TOKEN = re.compile(f'name="{TOKEN}" value="([^"]+)"')


@dataclass
class Visitor:
    """A client whose cookies are its only credentials."""

    client: TestClient

    def sign_in(self, key: str, next_: str = "/") -> httpx.Response:
        return self.client.post(
            "/desk/sign-in", data={"key": key, "next": next_}, headers=SAME_ORIGIN, follow_redirects=False
        )

    def get(self, path: str) -> httpx.Response:
        return self.client.get(path, follow_redirects=False)

    def page(self, path: str, status: int = 200) -> Page:
        response = self.get(path)
        assert response.status_code == status, response.text
        return parsed(response.text)

    def token(self) -> str:
        """What the forms of this session carry."""
        found = _TOKEN.search(self.get("/").text)
        assert found is not None, "nobody is signed in"
        return unescape(found[1])

    def post(self, path: str, **fields: object) -> httpx.Response:
        """A form of the desk, sent as its page would send it."""
        data = {TOKEN: self.token(), **fields}
        return self.client.post(path, data=data, headers=SAME_ORIGIN, follow_redirects=False)


def visitor(api: Api, *scopes: Scope, lines: list[str] | None = None) -> Visitor:
    """Somebody who is signed in with a fresh key of these scopes (none: all), bound to some lines."""
    made = Visitor(api.client_of(None))
    assert made.sign_in(api.token_of(*scopes, lines=lines)).status_code == 303
    return made
