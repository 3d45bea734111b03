"""Unlearning requests and the runs that serve them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from service.client.answers.common import Page
from service.client.answers.requests import (
    AcceptedRequest,
    Certificate,
    Plan,
    Receipt,
    Refusal,
    Report,
    Request,
    Run,
    Summary,
)
from service.client.call import CSV, UPLOAD_S, Call, Every, Json, One, iso, new_key, path, text
from service.domain.decisions import RejectionCode

REQUESTS = "/v1/unlearning-requests"
REQUEST = f"{REQUESTS}/{{request_id}}"
SEARCH = f"{REQUESTS}/search"


def create_plan(body: Mapping[str, Any]) -> Call[Plan]:
    """What a request with this body (`service.client.unlearning`) would do. Changes nothing."""
    return Call("POST", "/v1/unlearning-plans", One(Plan), body=Json(body))


def create_request(body: Mapping[str, Any], *, idempotency_key: str | None = None) -> Call[AcceptedRequest]:
    """File an unlearning request (`service.client.unlearning`). The answer holds a signed receipt."""
    key = new_key(idempotency_key)
    return Call("POST", REQUESTS, One(AcceptedRequest), body=Json(body), idempotency_key=key)


def list_requests(
    *,
    state: str | None = None,
    adapter: str | None = None,
    client_reference: str | None = None,
    regulation: str | None = None,
    created_after: datetime | None = None,
    created_before: datetime | None = None,
    due_before: datetime | None = None,
    overdue: bool = False,
    cursor: str | None = None,
    limit: int | None = None,
) -> Call[Page[Request]]:
    """Unlearning requests, newest first. Dates have time zones."""
    params = {
        "state": state,
        "adapter": adapter,
        "client_reference": client_reference,
        "regulation": regulation,
        "created_after": iso(created_after),
        "created_before": iso(created_before),
        "due_before": iso(due_before),
        "overdue": "true" if overdue else None,
        "cursor": cursor,
        "limit": limit,
    }
    return Call("GET", REQUESTS, One(Page[Request]), params=params)


def search_requests(
    search: Mapping[str, Any], *, cursor: str | None = None, limit: int | None = None
) -> Call[Page[Request]]:
    """The requests that a search (`service.client.unlearning.looking_for`) finds, newest first."""
    params = {"cursor": cursor, "limit": limit}
    return Call("POST", SEARCH, One(Page[Request]), params=params, body=Json(search))


def export_requests(search: Mapping[str, Any]) -> Call[str]:
    """All requests that a search finds, as a table (CSV)."""
    return Call("POST", SEARCH, text, body=Json(search), headers={"Accept": CSV}, timeout=UPLOAD_S)


def get_request(request_id: str) -> Call[Request]:
    """A request."""
    return Call("GET", path(REQUEST, request_id=request_id), One(Request))


def get_report(request_id: str) -> Call[Report]:
    """What was measured for a request."""
    return Call("GET", path(f"{REQUEST}/report", request_id=request_id), One(Report))


def get_report_page(request_id: str) -> Call[str]:
    """What was measured for a request, as a page (HTML) for people."""
    return Call("GET", path(f"{REQUEST}/report", request_id=request_id), text, params={"format": "html"})


def get_receipt(request_id: str) -> Call[Receipt]:
    """The signed receipt of a request."""
    return Call("GET", path(f"{REQUEST}/receipt", request_id=request_id), One(Receipt))


def get_refusal(request_id: str) -> Call[Refusal]:
    """The signed refusal of a request that was rejected."""
    return Call("GET", path(f"{REQUEST}/refusal", request_id=request_id), One(Refusal))


def list_certificates(request_id: str) -> Call[list[Certificate]]:
    """The signed certificates of a request, newest first."""
    return Call("GET", path(f"{REQUEST}/certificates", request_id=request_id), Every(Certificate))


def approve_request(request_id: str) -> Call[Request]:
    """Let a request that waits for approval go on. Its creator may not."""
    return _decision(request_id, "approve")


def reject_request(request_id: str, reason: str, *, reason_code: RejectionCode = RejectionCode.other) -> Call[Request]:
    """Deny a request that waits for approval."""
    return _decision(request_id, "reject", {"reason_code": reason_code, "reason": reason})


def accept_request(request_id: str, reason: str) -> Call[Request]:
    """Let an outcome stand that falls short. The creator of the request may not."""
    return _decision(request_id, "accept", {"reason": reason})


def cancel_request(request_id: str) -> Call[Request]:
    """Call a request off before anything of it is published."""
    return _decision(request_id, "cancel")


def hold_request(request_id: str, reason: str | None = None) -> Call[Request]:
    """Stop work on a request."""
    return _decision(request_id, "hold", {"reason": reason})


def release_request(request_id: str) -> Call[Request]:
    """Let a held request go on."""
    return _decision(request_id, "release")


def extend_request(request_id: str, due_at: datetime, reason: str) -> Call[Request]:
    """Move the due date, once, before it passes, and as far as the law allows. `due_at` has a time zone."""
    return _decision(request_id, "extend", {"due_at": due_at.isoformat(), "reason": reason})


def retry_request(request_id: str) -> Call[Request]:
    """Try again what needs attention."""
    return _decision(request_id, "retry")


def _decision(request_id: str, verb: str, body: Mapping[str, Any] | None = None) -> Call[Request]:
    where = path(f"{REQUEST}/{verb}", request_id=request_id)
    return Call("POST", where, One(Request), body=None if body is None else Json(body))


def get_summary(
    *,
    received_after: datetime | None = None,
    received_before: datetime | None = None,
    regulation: str | None = None,
    adapter: str | None = None,
) -> Call[Summary]:
    """Counts of the requests that were received in a period, and days until their answers. Dates have time zones."""
    params = {
        "received_after": iso(received_after),
        "received_before": iso(received_before),
        "regulation": regulation,
        "adapter": adapter,
    }
    return Call("GET", "/v1/reports/summary", One(Summary), params=params)


def export_summary(
    *,
    received_after: datetime | None = None,
    received_before: datetime | None = None,
    regulation: str | None = None,
    adapter: str | None = None,
) -> Call[str]:
    """The same as a table (CSV)."""
    call = get_summary(
        received_after=received_after, received_before=received_before, regulation=regulation, adapter=adapter
    )
    return Call(call.method, call.path, text, params=call.params, headers={"Accept": CSV})


def list_runs(*, adapter: str | None = None, cursor: str | None = None, limit: int | None = None) -> Call[Page[Run]]:
    """Runs, newest first."""
    return Call("GET", "/v1/runs", One(Page[Run]), params={"adapter": adapter, "cursor": cursor, "limit": limit})


def get_run(run_id: str) -> Call[Run]:
    """A run."""
    return Call("GET", path("/v1/runs/{run_id}", run_id=run_id), One(Run))
