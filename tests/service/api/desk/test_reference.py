"""The API's reference: every operation, for everybody, and nothing that is loaded from elsewhere."""

from urllib.parse import urlsplit

import pytest

from service.api.scopes import SCOPE_OF
from tests.support.api import Api
from tests.support.desk import Visitor
from tests.support.html_page import Page


@pytest.fixture
def page(api: Api) -> Page:
    return Visitor(api.client_of(None)).page("/docs")


def test_every_operation_is_there_with_its_scope(api: Api, page: Page) -> None:
    document = api.client_of(None).get("/openapi.json").json()
    operations = {node["operationId"]: node for path in document["paths"].values() for node in path.values()}
    shown = {one.attributes["id"]: one for one in page.all("details")}
    assert set(shown) == set(operations)
    for operation, one in shown.items():
        assert SCOPE_OF.get(operation, "") in one.text
        assert all(parameter["name"] in one.text for parameter in operations[operation].get("parameters", ()))


def test_the_members_of_bodies_are_told(page: Page) -> None:
    (create,) = [one for one in page.all("details") if one.attributes["id"] == "create_request"]
    for member in ("operations", "client_reference", "received_at", "required", "202", "409"):
        assert member in create.text
    assert "`" not in create.text
    assert "gdpr" in [one.text for one in page.all("code")]


def test_nothing_is_loaded_from_elsewhere(api: Api, page: Page) -> None:
    named = [one.attributes.get(name, "") for one in page.elements for name in ("src", "href")]
    assert not [address for address in named if urlsplit(address).netloc]
    policy = api.client_of(None).get("/docs").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
