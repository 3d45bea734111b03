"""The form in which senders without a form of their own say what they want."""

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from service.domain.clocks import Moment
from service.domain.errors import InvalidInput
from service.domain.instances import Body
from service.domain.operations import CorrectResponse, ModifyQuery, Operation, Remove, Selection
from service.domain.subjects import Identity, Name, SubjectKind
from service.flows.file_ask import Ask
from service.webhooks.inbound.identities import OWN_KINDS, as_text, forget, identity, members
from service.webhooks.inbound.payload import Payload, validated
from service.webhooks.inbound.provider import Rules

# Senders' ids go into lists, logs of theirs and URLs: printable ASCII without spaces.
Reference = Annotated[str, StringConstraints(pattern=r"^[!-~]{1,120}$")]
Regulation = Annotated[str, StringConstraints(to_lower=True, pattern=r"^[A-Za-z][A-Za-z0-9_]{0,31}$")]


class GenericAsk(BaseModel):
    """What is asked, besides who asks to be forgotten."""

    model_config = ConfigDict(frozen=True)

    request_id: Reference | None = None
    regulation: Regulation | None = None
    received_at: Moment | None = None
    instance_ids: tuple[Name, ...] | None = Field(default=None, max_length=100_000)
    instance_id: Name | None = None
    prompt: Body | None = None
    completion: Body | None = None


def erasure(payload: Payload, rules: Rules, known: Mapping[str, SubjectKind], *, at: str) -> tuple[Operation, ...]:
    """Forget instances, or a person. Several identifiers are of one person."""
    asked = validated(GenericAsk, payload, at=at)
    if asked.instance_ids is not None:
        return (Remove(type="remove", select=Selection(instance_ids=asked.instance_ids)),)
    given = payload.get("subject")
    if given is None:
        return (forget(members(payload, rules, known, at=at), at=at),)
    listed = given if isinstance(given, list) else [given]
    pointers = [f"{at}/subject/{n}" for n in range(len(listed))] if isinstance(given, list) else [f"{at}/subject"]
    return (forget(tuple(_identity(one, rules, at=p) for one, p in zip(listed, pointers, strict=True)), at=at),)


def correction(payload: Payload, *, at: str) -> tuple[Operation, ...]:
    """Another prompt, another completion, or both."""
    asked = validated(GenericAsk, payload, at=at)
    if asked.instance_id is None or (asked.prompt is None and asked.completion is None):
        raise InvalidInput(
            "A correction names no instance, or nothing to correct.",
            field=at or "/",
            fix="Send `instance_id`, and `prompt` or `completion`.",
            code="nothing-to-correct",
        )
    operations: list[Operation] = []
    if asked.prompt is not None:
        operations.append(ModifyQuery(type="modify_query", instance_id=asked.instance_id, prompt=asked.prompt))
    if asked.completion is not None:
        operations.append(
            CorrectResponse(type="correct_response", instance_id=asked.instance_id, completion=asked.completion)
        )
    return tuple(operations)


def ask(
    payload: Payload,
    operations: tuple[Operation, ...],
    rules: Rules,
    *,
    key: str | None,
    reference: str | None,
    at: str,
) -> Ask:
    """The whole. `key`: the signed id of the delivery; the sender's own id of the request goes before it.

    Raises:
        InvalidInput: nothing tells this request from the next one of the same person.
    """
    asked = validated(GenericAsk, payload, at=at)
    if asked.request_id is not None:
        own = f"request:{asked.request_id}"
    elif key is not None:
        own = f"delivery:{key}"
    elif asked.received_at is not None:
        own = f"content:{_digest(operations, asked.received_at.isoformat())}"
    else:
        raise InvalidInput(
            "Nothing tells this delivery from a repetition.",
            field=f"{at}/request_id",
            fix="Send `request_id`, or at least `received_at`.",
            code="no-delivery-id",
        )
    return Ask(
        key=own,
        operations=operations,
        reference=asked.request_id or reference,
        regulation=asked.regulation or rules.regulation,
        received_at=asked.received_at,
    )


def _digest(operations: tuple[Operation, ...], moment: str) -> str:
    said = json.dumps([moment, *(operation.model_dump(mode="json") for operation in operations)])
    return hashlib.sha256(said.encode()).hexdigest()


def _identity(given: Any, rules: Rules, *, at: str) -> Identity:
    if not isinstance(given, dict):
        return identity({"value": as_text(given)}, None, rules, OWN_KINDS, at=at)
    name = given.get("kind")
    if name is not None and not isinstance(name, str):
        name = ""
    rest = {member: as_text(value) for member, value in given.items() if member != "kind"}
    return identity(rest, name, rules, OWN_KINDS, at=at)
