"""What Data Rights Protocol agents are answered. Names and shapes are the specification's (1.0)."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field


class DrpStatus(BaseModel):
    """How far a request is. Members that have nothing to say are left out."""

    request_id: str = Field(description="The request's id.", examples=["req_0192…"])
    agent_request_id: str | None = Field(default=None, description="What the agent calls it.", examples=["4711"])
    received_at: datetime = Field(description="When it was received.")
    expected_by: datetime = Field(description="When it is due.")
    status: str = Field(
        description="`open`, `in_progress`, `fulfilled`, `revoked`, `denied` or `expired`.", examples=["open"]
    )
    reason: str | None = Field(default=None, description="Why it was denied.", examples=["no_match"])
    processing_details: str | None = Field(default=None, description="More on that, in words.")


class DrpToken(BaseModel):
    model_config = ConfigDict(populate_by_name=True)

    agent_id: str = Field(alias="agent-id", description="The agent.", examples=["PERMISSION_SLIP"])
    token: str = Field(description="Its bearer token, shown this once. The one before stays good.")


class DrpNothing(BaseModel):
    """The token is good."""


class DrpError(BaseModel):
    code: str = Field(description="The HTTP status.", examples=["400"])
    message: str = Field(description="What is wrong, and how to put it right.")
    fatal: bool = Field(description="Whether sending it again would be answered alike.")
    problem: str = Field(description="The kind of problem, as elsewhere in this API.", examples=["wrong-business"])
    field: str | None = Field(description="Where it is wrong.", examples=["/business-id"])
