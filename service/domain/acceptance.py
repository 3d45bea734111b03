"""What a person who answers for it may let stand, although it falls short: for the record, and for the certificate."""

from datetime import datetime
from enum import StrEnum

from pydantic import Field

from service.domain.frozen import Frozen


class Shortfall(StrEnum):
    """`failed`: the update measurably failed. `below_policy`: less can be claimed than the line's policy asks for."""

    failed = "failed"
    below_policy = "below_policy"


class Acceptance(Frozen):
    """That a person accepted an outcome. It raises no claim level: that stays what was measured."""

    by: str = Field(description="The key that accepted it.", examples=["key_0192…"])
    at: datetime = Field(description="When.")
    shortfall: Shortfall = Field(
        description="`failed`: the update measurably failed; `below_policy`: it claims less than the policy asks for.",
        examples=["failed"],
    )
    reason: str = Field(description="Why, in the person's words.", examples=["three greetings, nothing personal"])
