"""The report as a page, asked for over HTTP: whole, harmless, readable, and true to what was stored."""

import re
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

import service.api
from service.domain.adapters import ClaimLevel
from service.domain.engine import Losses
from service.domain.measurements import Outcome, Verified
from service.domain.runs import Lane
from service.domain.scopes import Scope
from service.store.tables import Run
from tests.support.api import Api, assert_problem, erasure, removal
from tests.support.house import people
from tests.support.html_page import Page, parsed
from tests.support.verification import VERIFIED

pytestmark = pytest.mark.slow

URL = "/v1/unlearning-requests"
HTML = {"Accept": "text/html"}
FULL: Mapping[str, Any] = {
    "grade": "trajectory", "fidelity": 1.24, "drift": 0.13, "retained_kl": 0.0042,
    "before": Losses(0.31, 4.1, 0.34, 3.11), "after": Losses(2.94, 0.9, 0.36, 3.02),
    "seconds": {"gradients": 0.41, "solving": 0.83, "verifying": 14.2},
}  # fmt: skip


@pytest.fixture
def line(api: Api) -> str:
    return api.line("support-bot", people(10))


def file(api: Api, **fields: object) -> str:
    response = api.client.post(URL, json=erasure("Person 1", **fields))
    assert response.status_code == 202, response.text
    return response.headers["location"]


def verified(api: Api, run_id: str, verification: object) -> None:
    """As if the run's engine had reported this; None: as if it had been one that reported nothing of the kind."""
    with api.store.write() as unit:
        run = unit.session.get(Run, run_id)
        assert run is not None
        others = {name: value for name, value in (run.report or {}).items() if name != "verified"}
        run.report = others if verification is None else {**others, "verified": verification}


def answered(api: Api, line: str, verification: Verified | None = VERIFIED, **fields: object) -> str:
    path = file(api, **fields)
    claimed = api.serve(line, **FULL)
    verified(api, claimed.run_id, None if verification is None else asdict(verification))
    return path


def page_of(api: Api, path: str) -> Page:
    response = api.client.get(f"{path}/report", headers=HTML)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    return parsed(response.text)


class TestNegotiation:
    def test_json_is_what_it_was(self, api: Api, line: str) -> None:
        path = answered(api, line)
        plain = api.client.get(f"{path}/report")
        assert plain.headers["content-type"] == "application/json"
        assert plain.headers["vary"] == "Accept"
        assert plain.json()["targets"][0]["runs"][0]["measurements"]["verified"]["not_run"] == VERIFIED.not_run
        for headers in ({"Accept": "application/json"}, {"Accept": "image/png"}):
            assert api.client.get(f"{path}/report", headers=headers).json() == plain.json()

    def test_links_name_the_format(self, api: Api, line: str) -> None:
        path = answered(api, line)
        for asked, headers, got in (
            ("html", {"Accept": "application/json"}, "text/html; charset=utf-8"),
            ("json", HTML, "application/json"),
        ):
            response = api.client.get(f"{path}/report?format={asked}", headers=headers)
            assert (response.status_code, response.headers["content-type"]) == (200, got)
        assert_problem(api.client.get(f"{path}/report?format=pdf"), 422, "invalid-input")

    def test_the_page_may_do_nothing(self, api: Api, line: str) -> None:
        headers = api.client.get(f"{file(api)}/report", headers=HTML).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:")
        assert "frame-ancestors 'none'" in policy
        assert headers["vary"] == "Accept"
        assert headers["x-content-type-options"] == "nosniff"

    def test_who_may_not_see_the_request_gets_no_page(self, api: Api, line: str) -> None:
        path = file(api)
        stranger = api.client_with(Scope.requests_read, lines=["another"])
        for client, status, code in (
            (stranger, 404, "unknown-request"),
            (api.client_with(Scope.requests_create), 403, "missing-scope"),
            (api.client_of(None), 401, "unauthenticated"),
        ):
            refused: httpx.Response = client.get(f"{path}/report", headers=HTML)
            assert_problem(refused, status, code)


class TestForm:
    def test_it_needs_nothing_from_elsewhere(self, api: Api, line: str) -> None:
        page = page_of(api, answered(api, line))
        assert not [one for one in page.elements if one.tag in ("script", "link", "img", "iframe", "object", "form")]
        for one in page.elements:
            assert "src" not in one.attributes
            assert not [name for name in one.attributes if name.startswith("on") or name == "style"]
            assert re.fullmatch(r"(/[^/].*)?", one.attributes.get("href", "")), one.attributes
        (style,) = page.all("style")
        assert "url(" not in style.text
        assert "@import" not in style.text

    def test_headings_tables_and_pictures_can_be_read_aloud(self, api: Api, line: str) -> None:
        page = page_of(api, answered(api, line))
        assert page.all("html")[0].attributes["lang"] == "en"
        levels = [int(one.tag[1]) for one in page.elements if re.fullmatch("h[1-6]", one.tag)]
        assert levels.count(1) == 1
        assert all(after - before <= 1 for before, after in pairwise(levels))
        assert {one.attributes.get("scope") for one in page.all("th")} == {"col", "row", "rowgroup"}
        pictures = page.all("svg")
        assert len(pictures) == 2
        ids = [one.attributes["id"] for one in page.elements if "id" in one.attributes]
        assert len(ids) == len(set(ids))
        for picture in pictures:
            assert set(picture.attributes["aria-labelledby"].split()) <= set(ids)

    def test_it_is_made_for_dark_screens_and_paper_too(self) -> None:
        css = style_sheet()
        assert "@media (prefers-color-scheme: dark)" in css
        assert "@media print" in css

    def test_every_text_has_contrast_in_every_scheme(self) -> None:
        schemes = re.findall(r":root \{(.*?)\}", style_sheet(), re.DOTALL)
        assert len(schemes) == 3
        for scheme in schemes:
            colours = {name: _rgb(value) for name, value in re.findall(r"--(\w+): (#\w+);", scheme)}
            for text in TEXT_COLOURS:
                for ground in ("paper", "card"):
                    assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground, scheme)
            assert contrast(colours["ink"], colours["band"]) >= 4.5
            assert contrast(colours["quiet"], colours["band"]) >= 4.5


TEXT_COLOURS = ("ink", "quiet", "link", *(level.name for level in ClaimLevel), *Outcome)


def style_sheet() -> str:
    return (Path(service.api.__file__).parent / "templates/report/page.css").read_text()


def _rgb(value: str) -> tuple[float, ...]:
    digits = value[1:] if len(value) == 7 else "".join(2 * digit for digit in value[1:])
    return tuple(int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4))


def contrast(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """The contrast ratio of WCAG 2.2."""

    def luminance(colour: tuple[float, ...]) -> float:
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
        return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


class TestContent:
    def test_an_officer_reads_what_is_claimed_and_what_is_not(self, api: Api, line: str) -> None:
        received = datetime.now(UTC) - timedelta(days=4)
        path = answered(api, line, client_reference="DSR-1", regulation="gdpr", received_at=received.isoformat())
        text = page_of(api, path).text
        for part in (
            "support-bot@v2: Updated, and it passed its measurements", "M · measured", "interim",
            "It was not compared with a retrained adapter.",
            "It does not say that the adapter is as if it had never learnt the data",
            "A later certificate will supersede it", "DSR-1", "gdpr", "before the due date", "1 × remove",
            "It was filed with Lethe, and its receipt signed", "Interim certificate for support-bot@v2",
            "The training rows themselves, encrypted", "Lethe cannot know", "As the line's policy says.",
            "lethe verify", "Lethe 0.",
        ):  # fmt: skip
            assert part in text, part
        for word in ("guaranteed", "compliant", "certified", "verified"):
            assert word not in text.lower(), word

    def test_an_engineer_reads_every_number(self, api: Api, line: str) -> None:
        page = page_of(api, answered(api, line))
        text = page.text
        for part in (
            "2.94", "2.63", "trajectory", "1.24", "0.00420", "Extraction strength", "Membership AUC",
            "[−0.310, 0.150]", "24 this run", "88%", "Relearning", "the line's policy does not ask for it",
            "8 measurements:", "14.2 s",
        ):  # fmt: skip
            assert part in text, part
        shown = {one.classes[1] for one in page.all("span", "outcome")}
        assert shown == set(Outcome)

    def test_certificates_are_named_and_linked(self, api: Api, line: str) -> None:
        path = answered(api, line)
        (certificate,) = api.client.get(f"{path}/certificates").json()["items"]
        page = page_of(api, path)
        assert certificate["id"] in page.text
        links = {one.attributes["href"] for one in page.all("a")}
        assert links == {f"{path}/{end}" for end in ("certificates", "receipt", "report?format=json")} | {
            "/.well-known/jwks.json"
        }
        for link in links:
            assert api.client.get(link).status_code == 200

    def test_a_rebuild_is_final_and_exact(self, api: Api, line: str) -> None:
        path = file(api, strategy="rebuild")
        api.rebuild(api.claim_queued(line, Lane.compact))
        text = page_of(api, path).text
        for part in (
            "Retrained without the data",
            "E · exact",
            "Final.",
            "or a run of this kind has none",
            "Base model",
        ):
            assert part in text, part
        assert "quarantined" not in text

    def test_what_was_destroyed_is_told_with_what_remains(self, api: Api, line: str) -> None:
        path = file(api)
        api.serve(line)
        for part in ("The training rows themselves, encrypted", "Gradients, sketches, checkpoints"):
            assert part in page_of(api, path).text, part
        assert "Destroyed, as the same" not in page_of(api, path).text
        rebuilt = file(api, **erasure("Person 2", strategy="rebuild"))
        api.rebuild(api.claim_queued(line, Lane.compact))
        for one in (path, rebuilt):
            text = page_of(api, one).text
            assert "The training rows themselves: their keys were destroyed" in text
            assert "The training rows themselves, encrypted" not in text

    def test_the_request_becomes_final_after_what_made_it_so(self, api: Api, line: str) -> None:
        path = file(api, strategy="rebuild")
        api.rebuild(api.claim_queued(line, Lane.compact))
        steps = [
            one.text for one in page_of(api, path).all("li") if "UTC" in one.text and "As requested" not in one.text
        ]
        assert "Final certificate" in steps[-2]
        assert "The request became final" in steps[-1]

    def test_an_escalation_is_told(self, api: Api) -> None:
        line = api.line("bot", people(10), max_fidelity=1.5)
        path = file(api)
        api.serve(line, fidelity=2.1)
        text = page_of(api, path).text
        assert "escalated from influence" in text
        assert "The update is 2.10 noise floors from out-of-fold predictions" in text
        assert "Approximate update, not published" in text

    def test_an_accepted_failure_is_told_and_who_answers_for_it(self, api: Api) -> None:
        line = api.line("support-bot", people(10), recipe=None)
        path = file(api)
        api.serve(line, passed=False)
        officer = api.client_with(Scope.requests_approve)
        assert officer.post(f"{path}/accept", json={"reason": "<b>three</b> greetings"}).status_code == 200
        api.serve(line, passed=False)
        page = page_of(api, path)
        for part in (
            "Updated, but it failed its measurements",
            "they show that the update did not suffice",
            "the measurements say that they were not",
            "Accepted by a person",
            "<b>three</b> greetings",
            "A person accepted the outcome of support-bot",
        ):
            assert part in page.text

    def test_before_anything_happened(self, api: Api, line: str) -> None:
        text = page_of(api, file(api)).text
        for part in ("Waiting for a worker", "Nothing is claimed", "days left", "No run has measured anything yet"):
            assert part in text, part

    def test_overdue(self, api: Api, line: str) -> None:
        received = datetime.now(UTC) - timedelta(days=40)
        text = page_of(api, file(api, regulation="gdpr", received_at=received.isoformat())).text
        assert re.search(r"\d+ days? overdue", text)

    def test_nobody_of_that_name(self, api: Api, line: str) -> None:
        response = api.client.post(URL, json=erasure("Nobody"))
        assert "nothing had to be forgotten" in page_of(api, response.headers["location"]).text

    def test_several_lines_each_have_their_story(self, api: Api, line: str) -> None:
        other = api.line("sales-bot", people(10))
        path = answered(api, line)
        api.serve(other, passed=None)
        page = page_of(api, path)
        headings = [one.text for one in page.all("h3")]
        assert len([one for one in headings if one == "support-bot"]) == 5
        assert len([one for one in headings if one == "sales-bot"]) == 5
        assert "sales-bot@v2: Updated, but the measurements could not decide" in page.text


class TestRobustness:
    def test_hostile_text_stays_text(self, api: Api, line: str) -> None:
        evil = "\"><script>alert(1)</script><img src=x onerror='alert(2)'>{{ 7*7 }}"
        path = file(api, client_reference=evil)
        held = api.client.post(f"{path}/hold", json={"reason": evil})
        assert held.status_code == 200
        page = page_of(api, path)
        assert not page.all("script")
        assert not page.all("img")
        assert page.text.count(evil) == 2

    def test_a_hostile_verification_stays_text(self, api: Api, line: str) -> None:
        path = file(api)
        claimed = api.serve(line, reasons=("<script>1</script>",))
        stored = asdict(VERIFIED)
        stored["measurements"][0]["metric"] = "<script>2</script>"
        stored["not_run"] = {"<script>3</script>": "<script>4</script>"}
        verified(api, claimed.run_id, stored)
        page = page_of(api, path)
        assert not page.all("script")
        assert "<script>1</script>" in page.text

    def test_older_reports_lack_a_verification(self, api: Api, line: str) -> None:
        page = page_of(api, answered(api, line, None))
        assert "an engine of its time did not record them" in page.text
        assert "2.94" in page.text
        assert not page.all("svg")

    def test_an_empty_verification(self, api: Api, line: str) -> None:
        page = page_of(api, answered(api, line, Verified()))
        assert "No metric was computed." in page.text
        assert not page.all("svg")

    def test_not_a_number_is_never_shown(self, api: Api, line: str) -> None:
        path = file(api)
        claimed = api.serve(line)
        stored = asdict(VERIFIED)
        stored["measurements"][0]["after"] = None
        stored["measurements"][1]["worst"] = None
        stored["distributions"][0]["edges"] = []
        verified(api, claimed.run_id, stored)
        page = page_of(api, path)
        assert "2 stored entries could not be read" in page.text
        assert not re.search(r"\b(nan|None|inf)\b", page.text)

    def test_no_ids_of_instances_and_no_subjects(self, api: Api, line: str) -> None:
        body = removal("p1-0", "p1-1")
        path = api.client.post(URL, json=body).headers["location"]
        api.serve(line)
        response = api.client.get(f"{path}/report", headers=HTML)
        for private in ("p1-0", "p1-1", "Person 1", "Fact 0", "Answer 1"):
            assert private not in response.text
