"""Lists of unlearning requests: what they hold, and what is looked for."""

from pydantic import Field

from service.api.schemas.common import Input, Page
from service.api.schemas.requests import RequestRead
from service.domain.adapters import LineName
from service.domain.clocks import Moment
from service.domain.scalars import Flag
from service.domain.states import RequestState
from service.domain.subjects import Subjects


class RequestPage(Page[RequestRead]):
    pass


class RequestSearch(Input):
    """What requests must have in common; what is left out may be anything."""

    state: RequestState | None = Field(default=None, description="Only those in this state.", examples=["queued"])
    adapter: LineName | None = Field(default=None, description="Only those that affect this line.", examples=["bot"])
    client_reference: str | None = Field(
        default=None, max_length=200, description="Only the one you filed as.", examples=["DSR-4711"]
    )
    regulation: str | None = Field(
        default=None, max_length=32, description="Only those under this regulation's clock.", examples=["gdpr"]
    )
    subject: Subjects | None = Field(
        default=None,
        description="Only those that select by this data subject: an identifier, one with its kind, or several of "
        "the same person. It is compared by keyed hashes and not kept.",
        examples=[{"kind": "email", "value": "jane@example.com"}],
    )
    created_after: Moment | None = Field(default=None, description="Only those filed then or later.")
    created_before: Moment | None = Field(default=None, description="Only those filed earlier.")
    due_before: Moment | None = Field(default=None, description="Only those that are due earlier.")
    overdue: Flag = Field(default=False, description="Only those that are open past their due date.")
