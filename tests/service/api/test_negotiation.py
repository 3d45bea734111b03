"""JSON unless the caller likes the other representation better."""

import pytest

from service.api.negotiation import CSV, HTML, prefers

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


@pytest.mark.parametrize(
    "accept",
    [
        BROWSER, "text/html", "TEXT/HTML", "text/*", "text/html;q=0.9, application/json;q=0.8", "text/html, */*;q=0.1",
    ],
)  # fmt: skip
def test_html(accept: str) -> None:
    assert prefers(accept, HTML)


@pytest.mark.parametrize(
    "accept",
    [
        None, "", "*/*", "application/json", "application/*", "image/png", "text/html;q=0", "text/html;q=x",
        "text/html, application/json", "text/html;q=0.5, */*", "application/json, text/html;q=0.9", ",;=,/",
    ],
)  # fmt: skip
def test_json(accept: str | None) -> None:
    assert not prefers(accept, HTML)


def test_browsers_read_a_list_as_json_unless_they_ask_for_csv() -> None:
    assert not prefers(BROWSER, CSV)
    assert prefers("text/csv", CSV)
