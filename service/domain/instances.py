"""Training instances and how they are edited.

An instance holds either `prompt` + `completion` or a chat (`messages`). The two corrections of the
paper act on it: a query modification replaces the prompt (in a chat: the last user message), a
response correction replaces the completion (in a chat: the last assistant message).
"""

import json
import unicodedata
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from service.domain.errors import InvalidInput
from service.domain.subjects import Identity, Name, Subject, Subjects

Body = Annotated[str, StringConstraints(max_length=1_000_000)]


class Message(BaseModel):
    """One turn of a chat."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    role: Literal["system", "user", "assistant"]
    content: Body


class Content(BaseModel):
    """The text of an instance: `prompt` and `completion`, or `messages`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompt: Body | None = None
    completion: Body | None = None
    messages: tuple[Message, ...] | None = None

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        pair = self.prompt is not None and self.completion is not None
        if (self.messages is None) != pair or (self.prompt is None) != (self.completion is None):
            raise ValueError("give either `prompt` and `completion`, or `messages`")
        if self.messages is not None and not any(m.role == "assistant" for m in self.messages):
            raise ValueError("`messages` holds no assistant turn to learn from")
        return self

    def with_prompt(self, prompt: str) -> "Content":
        """This content under another query.

        Raises:
            InvalidInput: a chat without a user message has no query.
        """
        if self.messages is None:
            return Content(prompt=prompt, completion=self.completion)
        return self._with_last("user", prompt)

    def with_completion(self, completion: str) -> "Content":
        """This content with another response."""
        if self.messages is None:
            return Content(prompt=self.prompt, completion=completion)
        return self._with_last("assistant", completion)

    def _with_last(self, role: Literal["user", "assistant"], text: str) -> "Content":
        messages = list(self.messages or ())
        for position in range(len(messages) - 1, -1, -1):
            if messages[position].role == role:
                messages[position] = Message(role=role, content=text)
                return Content(messages=tuple(messages))
        raise InvalidInput(f"The chat has no {role} message to replace.", fix="Remove the instance instead.")

    def to_bytes(self) -> bytes:
        """A stable serialisation, for sealing."""
        return self.model_dump_json(exclude_none=True).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Content":
        return cls.model_validate_json(data)

    def normalised(self) -> bytes:
        """The form under which two contents count as exact duplicates: NFKC, case and white space folded."""
        return json.dumps([[role, normalise_text(text)] for role, text in self._turns()], ensure_ascii=False).encode()

    def words(self) -> str:
        """All that is said, by whomever, in the same form: near duplicates share most of it."""
        return " ".join(normalise_text(text) for _, text in self._turns())

    def _turns(self) -> list[tuple[str, str]]:
        if self.messages is None:
            return [("user", self.prompt or ""), ("assistant", self.completion or "")]
        return [(m.role, m.content) for m in self.messages]


class Instance(BaseModel):
    """One training example of a dataset: its id, the data subjects it speaks of, its content."""

    model_config = ConfigDict(frozen=True)

    id: Name
    subjects: tuple[Subject, ...] = ()
    content: Content


class InstanceLine(BaseModel):
    """One line of a dataset upload, as clients write it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Name
    subject: Subjects | None = Field(default=None, description="One data subject, or several.")
    prompt: Body | None = None
    completion: Body | None = None
    messages: tuple[Message, ...] | None = None

    def to_instance(self) -> Instance:
        subject = self.subject
        if isinstance(subject, str | Identity):
            subject = (subject,)
        content = Content(prompt=self.prompt, completion=self.completion, messages=self.messages)
        return Instance(id=self.id, subjects=tuple(dict.fromkeys(subject or ())), content=content)


def normalise_text(text: str) -> str:
    """NFKC, case folded, white space runs collapsed."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
