"""OpenDSR 2.0: controllers file, follow and cancel erasures with an API key; every answer is signed by our domain."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Annotated

from fastapi import APIRouter, Path, Response

from service.api.actor import Actor
from service.api.auth import Caller
from service.api.context import Context, InContext
from service.api.deliveries import RawBody
from service.api.errors import OpenDsrRefused
from service.api.pem import PemResponse
from service.api.problems import problems
from service.api.schemas.opendsr import (
    OpenDsrAccepted,
    OpenDsrCancelled,
    OpenDsrDiscovery,
    OpenDsrStatus,
    SupportedIdentity,
)
from service.api.visibility import visible_request
from service.domain.callbacks import CallbackProtocol
from service.domain.errors import Conflict, IllegalTransition, InvalidInput, NotFound, Unreadable
from service.egress.address import AddressPolicy
from service.evidence.domain_certificate import DomainSigner
from service.flows import callbacks, decide
from service.flows.file_ask import file_ask
from service.store.database import Unit
from service.store.tables import UnlearningRequest
from service.webhooks.inbound import opendsr
from service.webhooks.outbound.callback import status_body

router = APIRouter(prefix="/opendsr", tags=["opendsr"])
# What everybody may know: section 6 has no authentication.
open_router = APIRouter(prefix="/opendsr", tags=["opendsr"])

RequestUuid = Annotated[str, Path(max_length=36, description="The controller's id of the request.")]
_BODY = {
    "requestBody": {
        "required": True,
        "description": "A request as OpenDSR 2.0 has it, section 7.1.",
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
}


@router.post(
    "/requests",
    status_code=201,
    response_model=OpenDsrAccepted,
    responses=problems(400, 404, 413),
    openapi_extra=_BODY,
)
def create_opendsr_request(body: RawBody, context: InContext, actor: Caller) -> Response:
    """File an erasure. The same id again is the same request. Its callbacks are told of every change of the status."""
    signer = _signer(context)
    with _told_as_opendsr():
        hosts, policy = context.settings.opendsr_callback_hosts.split(), AddressPolicy.of(context.settings)
        filing = opendsr.read(body, hosts, policy)
        with context.store.write() as unit:
            filed = file_ask(
                unit,
                context.vault,
                filing.ask,
                channel=opendsr.CHANNEL,
                actor=actor.id,
                lines=actor.lines,
                body_hash=context.vault.hashes.body(body),
                zone=context.settings.zone,
            )
            if filed.is_repeated:
                # By another caller, it may be.
                _filed(unit, actor, filing.subject_request_id)
            else:
                _call_back(unit, filed.request, filing)
    request = filed.request
    answer = OpenDsrAccepted(
        controller_id=request.created_by,
        expected_completion_time=request.due_at,
        received_time=request.created_at,
        encoded_request=base64.b64encode(body).decode(),
        subject_request_id=filing.subject_request_id,
    )
    return _signed(signer, answer.model_dump_json().encode(), 201)


@router.get("/requests/{subject_request_id}", response_model=OpenDsrStatus, responses=problems(404))
def get_opendsr_request(subject_request_id: RequestUuid, context: InContext, actor: Caller) -> Response:
    """Read how far a request is."""
    signer = _signer(context)
    with context.store.read() as unit:
        request = _filed(unit, actor, subject_request_id)
        answer = status_body(unit, CallbackProtocol.opendsr, request)
    return _signed(signer, answer, 200)


@router.delete(
    "/requests/{subject_request_id}",
    status_code=202,
    response_model=OpenDsrCancelled,
    responses=problems(400, 404),
)
def cancel_opendsr_request(subject_request_id: RequestUuid, context: InContext, actor: Caller) -> Response:
    """Call a request off while it is pending."""
    signer = _signer(context)
    with _told_as_opendsr(), context.store.write() as unit:
        request = _filed(unit, actor, subject_request_id)
        if opendsr.request_status(request) != opendsr.PENDING:
            raise IllegalTransition("Only a pending request can be cancelled.", fix="Read its status.")
        decide.cancel(unit, request.id, actor=actor.id)
        answer = OpenDsrCancelled(
            controller_id=request.created_by,
            subject_request_id=subject_request_id,
            received_time=unit.now,
            api_version=opendsr.API_VERSION,
        )
    return _signed(signer, answer.model_dump_json().encode(), 202)


@open_router.get("/discovery", responses=problems(404, 503))
def get_opendsr_discovery(context: InContext) -> OpenDsrDiscovery:
    """What OpenDSR controllers can ask for, and where the certificate is."""
    _signer(context)
    return OpenDsrDiscovery(
        api_version=opendsr.API_VERSION,
        supported_identities=[
            SupportedIdentity(identity_type=kind, identity_format=format_)
            for kind in opendsr.KINDS
            for format_ in opendsr.IdentityFormat
        ],
        supported_subject_request_types=[opendsr.ERASURE],
        processor_certificate=f"{context.settings.url}/opendsr/certificate.pem",
    )


@open_router.get("/certificate.pem", response_class=PemResponse, responses=problems(404, 503))
def get_opendsr_certificate(context: InContext) -> Response:
    """The X.509 certificate whose key signs the answers, with its chain."""
    return PemResponse(_signer(context).pem)


def _signer(context: Context) -> DomainSigner:
    if context.opendsr is None:
        raise NotFound(
            "OpenDSR is not switched on here.",
            fix="Set LETHE_OPENDSR_CERTIFICATE and LETHE_OPENDSR_KEY.",
            code="opendsr-off",
        )
    return context.opendsr


def _signed(signer: DomainSigner, body: bytes, status: int) -> Response:
    return Response(body, status, signer.headers(body), media_type="application/json")


@contextmanager
def _told_as_opendsr() -> Iterator[None]:
    """Refusals have status 400 and an `error` member there (section 7.5)."""
    try:
        yield
    except (InvalidInput, Unreadable, Conflict) as refusal:
        raise OpenDsrRefused(refusal) from refusal


def _filed(unit: Unit, actor: Actor, subject_request_id: str) -> UnlearningRequest:
    """Raises NotFound."""
    request = unit.requests.by_reference(opendsr.reference(subject_request_id))
    with suppress(NotFound):
        if request is not None:
            return visible_request(unit, actor, request.id)
    # Told alike, whether there is none or the caller may not know of it.
    raise NotFound("There is no such request.", field="subject_request_id", code="unknown-request")


def _call_back(unit: Unit, request: UnlearningRequest, filing: opendsr.Filing) -> None:
    """Have the status told. That a request is pending goes without saying; the acknowledgement says no status."""
    is_pending = opendsr.request_status(request) == opendsr.PENDING
    told = status_body(unit, CallbackProtocol.opendsr, request) if is_pending else None
    callbacks.register(unit, request, CallbackProtocol.opendsr, filing.callback_urls, told=told)
