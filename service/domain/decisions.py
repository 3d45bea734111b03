"""What people decide about a request, kept for the record: nothing said later overwrites it."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

from pydantic import Field

from service.domain.frozen import Frozen


class Verb(StrEnum):
    approve = "approve"
    reject = "reject"
    accept = "accept"
    cancel = "cancel"
    hold = "hold"
    release = "release"
    extend = "extend"
    retry = "retry"


class RejectionCode(StrEnum):
    """Why a request is denied: the reasons of the Data Rights Protocol, and legal exceptions (GDPR article 17(3))."""

    suspected_fraud = "suspected_fraud"
    insufficient_verification = "insufficient_verification"
    no_match = "no_match"
    claim_not_covered = "claim_not_covered"
    outside_jurisdiction = "outside_jurisdiction"
    too_many_requests = "too_many_requests"
    legal_exception = "legal_exception"
    other = "other"


MEANINGS: Mapping[RejectionCode, str] = MappingProxyType(
    {
        RejectionCode.suspected_fraud: "It is suspected to be fraudulent.",
        RejectionCode.insufficient_verification: "Who asks could not be verified.",
        RejectionCode.no_match: "Nothing is held about who asks.",
        RejectionCode.claim_not_covered: "The law gives no right to what is asked for.",
        RejectionCode.outside_jurisdiction: "The law does not apply to who asks.",
        RejectionCode.too_many_requests: "It is one of too many by the same person.",
        RejectionCode.legal_exception: "The law exempts the data from what is asked for.",
        RejectionCode.other: "For a reason that has no code.",
    }
)


class Decision(Frozen):
    """One decision, and what was given as its reason. `due_at`: the new due date of an extension."""

    verb: Verb = Field(description="What was decided.", examples=["reject"])
    by: str = Field(description="The key that decided.", examples=["key_0192…"])
    at: datetime = Field(description="When.")
    reason_code: RejectionCode | None = Field(default=None, description="Of a rejection: why.", examples=["no_match"])
    reason: str | None = Field(default=None, description="Why, in words.", examples=["identity not proven"])
    due_at: datetime | None = Field(default=None, description="Of an extension: the new due date.")
