"""Pages as responses: templates, what all of them know, and headers that keep everything foreign out."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse

from service.api.desk import words
from service.api.desk.forms import TOKEN
from service.api.desk.static import ADDRESSES
from service.api.desk.visit import Visit
from service.api.errors import HttpError
from service.api.html import environment
from service.api.report import words as report_words
from service.domain.errors import LetheError

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    # Not `no-referrer`: with that, browsers send `Origin: null` with the desk's own forms too. Other sites learn
    # nothing either way.
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@dataclass(frozen=True, slots=True)
class Place:
    """An entry of the menu. It is offered to whoever may do the operation."""

    path: str
    name: str
    operation: str


MENU = (
    Place("/desk/requests", "Requests", "list_requests"),
    Place("/desk/summary", "Summary", "get_summary"),
    Place("/desk/lines", "Adapter lines", "list_adapters"),
    Place("/desk/webhooks", "Webhooks", "list_webhook_endpoints"),
    Place("/desk/inbound", "Inbound", "list_inbound_endpoints"),
    Place("/desk/audit", "Audit", "export_audit"),
)


def render(request: Request, template: str, *, status: int = HTTPStatus.OK, **values: object) -> HTMLResponse:
    """A page. Whatever is put into it is escaped."""
    visit: Visit | None = getattr(request.state, "visit", None)
    menu = [] if visit is None else [place for place in MENU if visit.may(place.operation)]
    zone = request.app.state.context.settings.zone
    here = {"visit": visit, "menu": menu, "path": request.url.path, "now": datetime.now(UTC), "zone": zone}
    return HTMLResponse(_ENVIRONMENT.get_template(f"desk/{template}").render({**here, **values}), status)


def refusal(request: Request, error: LetheError) -> HTMLResponse:
    """Why a page cannot be shown or a form was not accepted, in words."""
    page = render(request, "refused.html", status=error.status, error=error)
    page.headers.update(error.headers if isinstance(error, HttpError) else {})
    return page


def see(path: str) -> RedirectResponse:
    """After a form: the page that shows what came of it, which can be reloaded safely."""
    return RedirectResponse(path, HTTPStatus.SEE_OTHER)


_ENVIRONMENT = environment(
    {
        "moment": words.moment,
        "day": words.day,
        "ago": words.ago,
        "short_id": words.short_id,
        "sentence": words.sentence,
        "marked": words.marked,
        "number": report_words.number,
        "percent": report_words.percent,
        "duration": report_words.duration,
    },
    words=words,
    report_words=report_words,
    addresses=ADDRESSES,
    TOKEN=TOKEN,
)
