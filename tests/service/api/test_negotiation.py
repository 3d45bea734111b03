"""JSON unless the caller likes HTML better."""

import pytest

from service.api.negotiation import Format, preferred

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


@pytest.mark.parametrize(
    "accept",
    [
        BROWSER, "text/html", "TEXT/HTML", "text/*", "text/html;q=0.9, application/json;q=0.8", "text/html, */*;q=0.1",
    ],
)  # fmt: skip
def test_html(accept: str) -> None:
    assert preferred(accept) is Format.html


@pytest.mark.parametrize(
    "accept",
    [
        None, "", "*/*", "application/json", "application/*", "image/png", "text/html;q=0", "text/html;q=x",
        "text/html, application/json", "text/html;q=0.5, */*", "application/json, text/html;q=0.9", ",;=,/",
    ],
)  # fmt: skip
def test_json(accept: str | None) -> None:
    assert preferred(accept) is Format.json
