"""The desk in a real browser: signing in, deciding by keyboard, live progress, no JavaScript, and accessibility.

Uses the Chromium that is installed; without one, these tests are skipped.
"""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from service.domain.engine import Stage
from service.domain.states import RequestState
from service.flows.progress import report_progress
from tests.support.desk_world import HOSTILE, World, furnish
from tests.support.house import House
from tests.support.live_service import Service, live_service, opened_house
from tests.support.waiting import wait_until

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync"]  # fmt: skip
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 360, "height": 740}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium on PATH (Debian: apt-get install chromium)"),
]


@dataclass(frozen=True)
class Desk:
    house: House
    service: Service
    world: World


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def desk(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    home = tmp_path_factory.mktemp("home")
    shutil.copyfile(migrated_sqlite, home / "lethe.db")
    with opened_house(f"sqlite:///{home}/lethe.db", home) as house:
        world = furnish(house)
        with live_service(house, home) as service:
            yield Desk(house, service, world)


@pytest.fixture
def context_of(browser: Browser, desk: Desk) -> Iterator[Callable[..., BrowserContext]]:
    """Makes browser contexts whose pages may complain of nothing."""
    opened: list[BrowserContext] = []
    complaints: list[str] = []

    def make(*, may_complain: bool = False, **options: Any) -> BrowserContext:
        context = browser.new_context(base_url=desk.service.url, **options)
        context.set_default_timeout(15_000)
        if not may_complain:
            context.on("weberror", lambda error: complaints.append(str(error.error)))
            context.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
            context.on("dialog", lambda dialog: complaints.append(f"a dialog: {dialog.message}"))
        opened.append(context)
        return context

    yield make
    for context in opened:
        context.close()
    assert complaints == []


def sign_in(context: BrowserContext, desk: Desk) -> Page:
    page = context.new_page()
    page.goto("/desk/sign-in")
    page.get_by_label("API key").fill(desk.service.key)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(desk.service.url + "/")
    return page


def places(world: World) -> dict[str, str]:
    return {
        "start": "/",
        "requests": "/desk/requests",
        "answered": f"/desk/requests/{world.answered}",
        "running": f"/desk/requests/{world.running}",
        "stuck": f"/desk/requests/{world.stuck}",
        "overdue": f"/desk/requests/{world.overdue}",
        "new": "/desk/new",
        "summary": "/desk/summary?first=2020-01-01&last=",
        "lines": "/desk/lines",
        "line": "/desk/lines/support-bot",
        "webhooks": "/desk/webhooks",
        "webhook": f"/desk/webhooks/{world.hook}",
        "inbound": "/desk/inbound",
        "audit": "/desk/audit",
        "reference": "/docs",
    }


def violations(page: Page) -> list[str]:
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [f"{one['id']}: {node['html'][:160]} {node['failureSummary']}" for one in found for node in one["nodes"]]


@pytest.mark.parametrize(
    ("scheme", "viewport"), [("light", WIDE), ("dark", NARROW)], ids=["light-wide", "dark-narrow"]
)
def test_every_page_is_accessible_and_fits(
    desk: Desk, context_of: Callable[..., BrowserContext], scheme: str, viewport: dict[str, int]
) -> None:
    context = context_of(color_scheme=scheme, viewport=viewport)
    outside = context.new_page()
    outside.goto("/desk/sign-in")
    assert violations(outside) == []
    page = sign_in(context, desk)
    for name, place in places(desk.world).items():
        page.goto(place)
        for details in page.locator("details > summary").all():
            details.click()
        assert violations(page) == [], name
        assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"], f"{name} is too wide"
    refused = context_of(may_complain=True, color_scheme=scheme, storage_state=context.storage_state()).new_page()
    refused.goto("/desk/lines/nobody")
    assert violations(refused) == []
    page.goto("/desk/new")
    page.get_by_label("Identifier").fill("Person 9")
    page.get_by_role("button", name="Show what it would do").click()
    expect(page.get_by_role("heading", name="What it would do")).to_be_visible()
    assert violations(page) == []


def test_what_others_wrote_runs_nowhere(desk: Desk, context_of: Callable[..., BrowserContext]) -> None:
    page = sign_in(context_of(), desk)
    page.goto("/desk/requests?clock=overdue")
    page.get_by_role("link", name=HOSTILE).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(HOSTILE)


def test_a_policy_keeps_out_what_would_be_put_in(desk: Desk, context_of: Callable[..., BrowserContext]) -> None:
    """A positive control of the policy: as if something had got into a page after all."""
    page = sign_in(context_of(may_complain=True), desk)
    page.evaluate("""() => {
        window.ran = false;
        document.addEventListener("securitypolicyviolation", () => { document.body.dataset.blocked = "yes"; });
        document.body.insertAdjacentHTML("beforeend", "<img src='/desk/static/x' onerror='window.ran = true'>");
    }""")
    # page.wait_for_function would poll with eval, which this policy forbids in turn.
    expect(page.locator("body")).to_have_attribute("data-blocked", "yes")
    assert page.evaluate("window.ran") is False


def test_progress_comes_by_itself(desk: Desk, context_of: Callable[..., BrowserContext]) -> None:
    page = sign_in(context_of(), desk)
    page.goto(f"/desk/requests/{desk.world.running}")
    expect(page.locator("progress")).to_have_attribute("value", "0.45")
    with desk.house.store.read() as unit:
        run = unit.runs.get(str(unit.targets.of_request(desk.world.running)[0].run_id))
        assert run is not None
    with desk.house.store.write() as unit:
        report_progress(unit, run.id, run.fence, Stage.verifying, 0.9)
    expect(page.locator("progress")).to_have_attribute("value", "0.9")
    expect(page.get_by_text("Verifying")).to_be_visible()


def test_a_form_that_is_open_is_left_alone_by_news(desk: Desk, context_of: Callable[..., BrowserContext]) -> None:
    page = sign_in(context_of(), desk)
    page.goto(f"/desk/requests/{desk.world.running}")
    page.get_by_text("Hold", exact=True).click()
    page.get_by_label("Reason (optional)").fill("because")
    with desk.house.store.read() as unit:
        run = unit.runs.get(str(unit.targets.of_request(desk.world.running)[0].run_id))
        assert run is not None
    with desk.house.store.write() as unit:
        report_progress(unit, run.id, run.fence, Stage.exporting, 0.2)
    expect(page.get_by_text("Exporting")).to_be_visible()
    expect(page.get_by_label("Reason (optional)")).to_have_value("because")


def test_deciding_by_keyboard_alone(desk: Desk, context_of: Callable[..., BrowserContext]) -> None:
    page = sign_in(context_of(), desk)
    page.goto(f"/desk/requests/{desk.world.waiting}")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    for _ in range(4):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "Reject":
            break
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none", "where the focus is can be seen"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.type("Who asks")
    page.keyboard.press("Tab")
    page.keyboard.type("identity not proven")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").filter(has_text="Rejected, and the refusal signed.")).to_be_visible()
    request = desk.house.request(desk.world.waiting)
    assert (request.state, request.rejection_code) == (RequestState.rejected, "insufficient_verification")


@pytest.mark.parametrize("has_javascript", [True, False], ids=["with JavaScript", "without"])
def test_from_the_plan_to_the_request(
    desk: Desk, context_of: Callable[..., BrowserContext], has_javascript: bool
) -> None:
    page = sign_in(context_of(java_script_enabled=has_javascript), desk)
    page.get_by_role("link", name="New request").click()
    page.get_by_label("Forget single instances").check()
    expect(page.get_by_label("Identifier")).to_be_hidden()
    page.get_by_label("Instance ids").fill("p10-0" if has_javascript else "p11-0")
    page.get_by_label("support-bot").check()
    page.get_by_role("button", name="Show what it would do").click()
    expect(page.get_by_role("heading", name="What it would do")).to_be_visible()
    page.get_by_role("button", name="File the request").dblclick()
    page.wait_for_url("**/desk/requests/req_*")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Request")
    with desk.house.store.read() as unit:
        newest = [request.id for request in unit.requests.list(after=None, limit=2).items]
        created = [len(unit.targets.edits([t.id for t in unit.targets.of_request(one)])) for one in newest]
    assert page.url.partition("?")[0].endswith(newest[0])
    assert created[0] == 1


def test_without_javascript_a_decision_still_takes_two_steps(
    desk: Desk, context_of: Callable[..., BrowserContext]
) -> None:
    page = sign_in(context_of(java_script_enabled=False), desk)
    page.goto(f"/desk/requests/{desk.world.held}")
    button = page.get_by_role("button", name="Release")
    expect(button).to_be_hidden()
    page.get_by_text("Release", exact=True).click()
    button.click()
    expect(page.get_by_text("Released.")).to_be_visible()
    assert not desk.house.request(desk.world.held).on_hold


def test_a_session_that_ends_takes_an_open_page_to_the_form(
    desk: Desk, context_of: Callable[..., BrowserContext]
) -> None:
    context = context_of()
    page, other = sign_in(context, desk), context.new_page()
    other.goto("/desk/lines")
    other.get_by_role("button", name="Sign out").click()
    other.wait_for_url("**/desk/sign-in")
    page.get_by_role("link", name="Requests").first.click()
    page.wait_for_url("**/desk/sign-in**")
    wait_until(lambda: not [one for one in context.cookies() if "desk" in one["name"]])
