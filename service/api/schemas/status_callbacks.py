"""Status callbacks."""

from datetime import datetime

from pydantic import Field

from service.api.schemas.common import Output
from service.api.schemas.webhooks import AttemptRead
from service.domain.callbacks import CallbackProtocol
from service.domain.webhooks import DeliveryState


class StatusCallbackRead(Output):
    id: str = Field(description="The callback's id.", examples=["scb_0192…"])
    protocol: CallbackProtocol = Field(description="The protocol whose words it speaks.", examples=["opendsr"])
    url: str = Field(description="Where it goes, without the query.", examples=["https://example.com/status"])
    state: DeliveryState = Field(
        description="`delivered`: the present status is known there; `failed`: given up until the status changes; "
        "`canceled`: it answered 410.",
        examples=["delivered"],
    )
    attempts: list[AttemptRead] = Field(description="What came of the newest fifty attempts, oldest first.")
    next_attempt_at: datetime | None = Field(description="When it is tried next; null if there is nothing to tell.")
    created_at: datetime = Field(description="When it was asked for.")


class StatusCallbackList(Output):
    items: list[StatusCallbackRead] = Field(description="In the order in which they were asked for.")
