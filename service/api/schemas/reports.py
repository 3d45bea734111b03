"""Reports over many unlearning requests."""

from datetime import datetime

from pydantic import Field

from service.api.schemas.common import Output
from service.domain.decisions import RejectionCode


class FiguresRead(Output):
    """Requests, counted; and how long answers took."""

    received: int = Field(description="All of them.", examples=[128])
    complied: int = Field(description="Answered in whole or in part.", examples=[117])
    denied: int = Field(description="Rejected.", examples=[4])
    no_match: int = Field(description="Answered: nothing was held about who asked.", examples=[3])
    canceled: int = Field(description="Called off.", examples=[1])
    failed: int = Field(description="Ended without an answer.", examples=[0])
    open: int = Field(description="Not final yet.", examples=[3])
    overdue: int = Field(description="Of the open ones: past their due date.", examples=[0])
    in_time: int = Field(description="Complied, denied or without a match, by the due date.", examples=[124])
    late: int = Field(description="The same, after the due date.", examples=[0])
    mean_days: float | None = Field(description="Days from receipt to answer, on average.", examples=[2.41])
    median_days: float | None = Field(description="Days within which half of the answers came.", examples=[0.05])


class RegulationFigures(FiguresRead):
    regulation: str | None = Field(description="Whose clock ran; null if none was named.", examples=["ccpa"])


class OperationFigures(FiguresRead):
    operation: str = Field(description="What was asked for.", examples=["remove"])


class DenialCount(Output):
    reason_code: RejectionCode = Field(description="Why.", examples=["insufficient_verification"])
    count: int = Field(description="How many.", examples=[2])


class SummaryRead(Output):
    """Figures of the requests that were received in a period."""

    received_after: datetime | None = Field(description="The period begins here; null: with the first request.")
    received_before: datetime | None = Field(description="And ends before this; null: now.")
    total: FiguresRead = Field(description="Of all requests.")
    by_regulation: list[RegulationFigures] = Field(description="The same by regulation.")
    by_operation: list[OperationFigures] = Field(
        description="The same by what was asked for. A request for two things is in both."
    )
    denials: list[DenialCount] = Field(description="Rejections by reason.")
