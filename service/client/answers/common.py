"""Bases and pieces that several answers share."""

from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict

Item = TypeVar("Item")


class Answer(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Page(Answer, Generic[Item]):
    """A piece of a list, and the cursor of the next one; None at the end."""

    items: list[Item]
    next_cursor: str | None = None


class Failure(Answer):
    """Why something did not work out."""

    code: str
    detail: str
