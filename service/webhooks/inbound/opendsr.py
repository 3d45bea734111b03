"""OpenDSR 2.0: what a controller sends, and what it asks for."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from service.domain.clocks import Moment
from service.domain.errors import Unsupported
from service.domain.subjects import Identity, SubjectKind
from service.egress.address import AddressPolicy
from service.evidence.statements import timestamp
from service.flows.file_ask import Ask
from service.store.database import Unit
from service.store.tables import UnlearningRequest
from service.webhooks.inbound.callbacks import MAX_URLS, check_callback
from service.webhooks.inbound.identities import forget, unknown_kind
from service.webhooks.inbound.payload import parse, validated
from service.webhooks.inbound.states import OpenDsrStatus, foreign_state

API_VERSION = "2.0"
CHANNEL = "opendsr"
ERASURE = "erasure"
PENDING = "pending"

# Section 5.1: the identity types of the specification.
KINDS: Mapping[str, SubjectKind] = {
    "controller_customer_id": SubjectKind.customer_id,
    "email": SubjectKind.email,
    **dict.fromkeys(
        (
            "android_advertising_id",
            "android_id",
            "fire_advertising_id",
            "ios_advertising_id",
            "ios_vendor_id",
            "microsoft_advertising_id",
            "microsoft_publisher_id",
            "roku_publisher_id",
            "roku_advertising_id",
        ),
        SubjectKind.device_id,
    ),
}


class IdentityFormat(StrEnum):
    """Section 5.2. Identifiers can be found by all of them."""

    raw = "raw"
    sha256 = "sha256"
    sha1 = "sha1"
    md5 = "md5"


def _version_4(value: str) -> str:
    if str(UUID(value, version=4)) != value:
        raise ValueError("this is no UUID of version 4 in lower case")
    return value


RequestUuid = Annotated[str, AfterValidator(_version_4)]


class _Identity(BaseModel):
    model_config = ConfigDict(frozen=True)

    identity_type: str
    identity_value: str
    identity_format: str


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True)

    subject_request_id: RequestUuid
    subject_request_type: str
    submitted_time: Moment
    regulation: str = Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")
    subject_identities: tuple[_Identity, ...] = Field(min_length=1, max_length=100)
    status_callback_urls: tuple[str, ...] = Field(default=(), max_length=MAX_URLS)


@dataclass(frozen=True, slots=True)
class Filing:
    """What a controller sends: its id of the request, what it asks for, and where it is told of the status."""

    subject_request_id: str
    ask: Ask
    callback_urls: tuple[str, ...]


def read(body: bytes, callback_hosts: Collection[str], policy: AddressPolicy) -> Filing:
    """A filing. `callback_hosts`: where statuses may be sent to; `policy`: which addresses may be.

    Raises:
        Unreadable, InvalidInput.
    """
    request = validated(_Request, parse(body))
    if request.subject_request_type != ERASURE:
        raise Unsupported(
            "Only requests of the type `erasure` are fulfilled here.",
            field="/subject_request_type",
            fix="Ask /opendsr/discovery for what is supported.",
        )
    identities = tuple(_identity(one, position) for position, one in enumerate(request.subject_identities))
    ask = Ask(
        key=request.subject_request_id,
        operations=(forget(identities, at="/subject_identities"),),
        reference=request.subject_request_id,
        regulation=request.regulation,
        received_at=request.submitted_time,
    )
    for position, url in enumerate(request.status_callback_urls):
        check_callback(
            url,
            callback_hosts,
            policy,
            field=f"/status_callback_urls/{position}",
            fix="Have LETHE_OPENDSR_CALLBACK_HOSTS name it, or leave the URL out.",
        )
    return Filing(request.subject_request_id, ask, request.status_callback_urls)


def request_status(request: UnlearningRequest) -> OpenDsrStatus:
    """How far a request is, in OpenDSR's words (section 8)."""
    return foreign_state(request.state, request.outcome, request.rejection_code, on_hold=request.on_hold).opendsr


def status(unit: Unit, request: UnlearningRequest) -> Mapping[str, object]:
    """What a controller is told of a request, when it asks and when it is called back (section 8.3)."""
    return {
        "controller_id": request.created_by,
        "expected_completion_time": timestamp(request.due_at),
        "subject_request_id": (request.client_reference or "").removeprefix(reference("")),
        "request_status": request_status(request),
        "api_version": API_VERSION,
        "results_count": sum(target.instance_count for target in unit.targets.of_request(request.id)),
    }


def reference(subject_request_id: str) -> str:
    """The client reference under which the request is filed."""
    return f"{CHANNEL}:{subject_request_id}"


def _identity(given: _Identity, position: int) -> Identity:
    at = f"/subject_identities/{position}"
    kind = KINDS.get(given.identity_type)
    if kind is None:
        raise unknown_kind(f"{at}/identity_type")
    if given.identity_format not in set(IdentityFormat):
        raise Unsupported(
            "OpenDSR has no such format of identifiers.",
            field=f"{at}/identity_format",
            fix=f"Send one of {', '.join(IdentityFormat)}.",
            code="unsupported-identity-format",
        )
    member = "value" if given.identity_format == IdentityFormat.raw else given.identity_format
    return validated(Identity, {"kind": kind, member: given.identity_value}, at=at)
