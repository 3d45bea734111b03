"""The documents of a request: its report as a page, and what is signed as files."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from service.api.desk.filters import ADDRESS
from service.api.desk.route import DeskRoute
from service.api.desk.visit import Visit, permitted
from service.api.negotiation import ReportFormat
from service.api.report import page
from service.api.report.account import account
from service.api.schemas.requests import CertificateList, ReceiptRead, RefusalRead
from service.api.views.requests import certificate_read, report_read
from service.api.visibility import visible_request
from service.domain.errors import NotFound

router = APIRouter(prefix=f"{ADDRESS}/{{request_id}}", route_class=DeskRoute, include_in_schema=False)

RequestId = Annotated[str, Path(max_length=48)]


@router.get("/report")
def show_report(
    request_id: RequestId,
    visit: Annotated[Visit, permitted("get_report")],
    format_: Annotated[ReportFormat, Query(alias="format")] = ReportFormat.html,
) -> Response:
    with visit.context.store.read() as unit:
        request = visible_request(unit, visit.actor, request_id)
        if format_ is ReportFormat.json:
            return _download(f"{request_id}.report", report_read(unit, request))
        told = account(unit, request)
    return page.respond(told, below=ADDRESS)


@router.get("/receipt")
def download_receipt(request_id: RequestId, visit: Annotated[Visit, permitted("get_receipt")]) -> Response:
    with visit.context.store.read() as unit:
        request = visible_request(unit, visit.actor, request_id)
    return _download(f"{request_id}.receipt", ReceiptRead(request=request.id, envelope=request.receipt))


@router.get("/refusal")
def download_refusal(request_id: RequestId, visit: Annotated[Visit, permitted("get_refusal")]) -> Response:
    with visit.context.store.read() as unit:
        request = visible_request(unit, visit.actor, request_id)
    if request.refusal is None:
        raise NotFound("There is no such refusal: the request was not rejected.")
    return _download(f"{request_id}.refusal", RefusalRead(request=request.id, envelope=request.refusal))


@router.get("/certificates")
def download_certificates(request_id: RequestId, visit: Annotated[Visit, permitted("list_certificates")]) -> Response:
    return _download(f"{request_id}.certificates", _certificates(visit, request_id))


@router.get("/certificates/{certificate_id}")
def download_certificate(
    request_id: RequestId,
    certificate_id: Annotated[str, Path(max_length=48)],
    visit: Annotated[Visit, permitted("list_certificates")],
) -> Response:
    found = [one for one in _certificates(visit, request_id).items if one.id == certificate_id]
    if not found:
        raise NotFound("There is no such certificate of the request.")
    return _download(certificate_id, found[0])


def _certificates(visit: Visit, request_id: str) -> CertificateList:
    with visit.context.store.read() as unit:
        rows = unit.requests.certificates(visible_request(unit, visit.actor, request_id).id)
        return CertificateList(items=[certificate_read(unit, row) for row in rows])


def _download(name: str, document: BaseModel) -> Response:
    """A file as the API gives it, which `lethe verify` reads."""
    headers = {"Content-Disposition": f'attachment; filename="{name}.json"'}
    return JSONResponse(document.model_dump(mode="json"), headers=headers)
