"""What an unlearning request asks for: the paper's three operations.

`remove` is instance removal (IR), `modify_query` query modification (QM), `correct_response`
response correction (RC) of LLMEraser, section 3.1.
"""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from service.domain.given import one_given
from service.domain.instances import Body
from service.domain.subjects import Identity, Name, Subjects, identities_of


class Selection(BaseModel):
    """Which instances a removal concerns: a list of ids, or everything about one data subject.

    Several identifiers in `subject` name the same person.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra=one_given("instance_ids", "subject"))

    instance_ids: tuple[Name, ...] | None = Field(
        default=None, max_length=100_000, examples=[["row-17"]], json_schema_extra={"minItems": 1}
    )
    subject: Subjects | None = Field(default=None, examples=["user-123"])

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.instance_ids is None) == (self.subject is None):
            raise ValueError("give exactly one of `instance_ids` and `subject`")
        return self

    @property
    def identities(self) -> tuple[Identity, ...]:
        """The identifiers of the data subject; none if it selects by instance ids."""
        return identities_of(self.subject)


class Remove(BaseModel):
    """Forget the selected instances."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["remove"]
    select: Selection


class ModifyQuery(BaseModel):
    """The instance should have had another prompt."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["modify_query"]
    instance_id: Name
    prompt: Body


class CorrectResponse(BaseModel):
    """The instance should have had another completion."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["correct_response"]
    instance_id: Name
    completion: Body


Operation = Annotated[Remove | ModifyQuery | CorrectResponse, Field(discriminator="type")]
