"""What OpenDSR 2.0 controllers are answered. Names and shapes are the specification's."""

from datetime import datetime

from pydantic import Field

from service.api.schemas.common import Output
from service.webhooks.inbound.states import OpenDsrStatus as RequestStatus

_UUID = "a7551968-d5d6-44b2-9831-815ac9017798"


class SupportedIdentity(Output):
    identity_type: str = Field(description="What the identifier is.", examples=["email"])
    identity_format: str = Field(description="How it is written.", examples=["sha256"])


class OpenDsrDiscovery(Output):
    api_version: str = Field(description="The version of OpenDSR.", examples=["2.0"])
    supported_identities: list[SupportedIdentity] = Field(description="Identifiers that subjects are found by.")
    supported_subject_request_types: list[str] = Field(description="What is fulfilled.", examples=[["erasure"]])
    processor_certificate: str = Field(description="Where the certificate that signs answers is.")


class OpenDsrAccepted(Output):
    controller_id: str = Field(description="The API key that files.", examples=["key_0192…"])
    expected_completion_time: datetime = Field(description="When it is due.")
    received_time: datetime = Field(description="When it was received here.")
    encoded_request: str = Field(description="The body that was sent, in base64. Do not log or store it.")
    subject_request_id: str = Field(description="The controller's id.", examples=[_UUID])


class OpenDsrStatus(Output):
    controller_id: str = Field(description="The API key that filed.", examples=["key_0192…"])
    expected_completion_time: datetime = Field(description="When it is due.")
    subject_request_id: str = Field(description="The controller's id.", examples=[_UUID])
    request_status: RequestStatus = Field(description="How far it is.", examples=["pending"])
    api_version: str = Field(description="The version of OpenDSR.", examples=["2.0"])
    results_count: int = Field(description="Instances that spoke of the subject.", examples=[12])


class OpenDsrCancelled(Output):
    controller_id: str = Field(description="The API key that filed.", examples=["key_0192…"])
    subject_request_id: str = Field(description="The controller's id.", examples=[_UUID])
    received_time: datetime = Field(description="When the cancellation was received.")
    api_version: str = Field(description="The version of OpenDSR.", examples=["2.0"])
