"""Bases and pieces that several resources share."""

from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

Item = TypeVar("Item")


class Input(BaseModel):
    """Something a client sends. Unknown members are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Output(BaseModel):
    """Something a client gets. Every member is always there."""

    model_config = ConfigDict(frozen=True)


class Page(Output, Generic[Item]):
    items: list[Item] = Field(description="Newest first, unless the list says otherwise.")
    next_cursor: str | None = Field(
        description="Send it as `cursor` for the next page; null at the end.", examples=["AXp3…"]
    )


class Failure(Output):
    """Why something did not work out."""

    code: str = Field(description="Stable name of the reason.", examples=["verification-failed"])
    detail: str = Field(description="One sentence, without any submitted text.", examples=["Retained loss rose."])


class FileDigest(Output):
    sha256: str = Field(description="SHA-256 of the file, hex.", examples=["9f86d081884c7d65…"])
    size: int = Field(description="Bytes.", examples=[5120])


class FieldError(Output):
    field: str = Field(description="JSON pointer or parameter name.", examples=["/operations/0/select"])
    message: str = Field(description="What is wrong there.", examples=["Field required."])


class Problem(Output):
    """A refusal (RFC 9457). Some codes carry further members, such as `lowest_allowed` or `line`."""

    model_config = ConfigDict(extra="allow", frozen=True)

    type: str = Field(description="Identifies the kind of problem.", examples=["urn:lethe:problem:unknown-adapter"])
    title: str = Field(description="The kind of problem in words.", examples=["Not found"])
    status: int = Field(description="The HTTP status.", examples=[404])
    code: str = Field(
        description="The last part of `type`; stable. One of `x-problem-types`; new ones may come.",
        examples=["unknown-adapter"],
    )
    detail: str = Field(
        description="What is wrong with this call; never repeats submitted text.",
        examples=["There is no such adapter line."],
    )
    field: str | None = Field(
        default=None, description="JSON pointer into the body, or name of a parameter.", examples=["/adapters/0"]
    )
    fix: str | None = Field(
        default=None, description="How to put it right.", examples=["List the lines with GET /v1/adapters."]
    )
    errors: list[FieldError] | None = Field(default=None, description="All findings where there are several.")


JsonObject = dict[str, Any]
# Pydantic describes the keys of a dictionary, but not that there can be no others.
NO_OTHER_KEYS: JsonDict = {"additionalProperties": False}
