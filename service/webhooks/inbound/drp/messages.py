"""What agents sign (sections 2.01, 2.04 and 2.05), checked in the order of section 3.07."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from service.domain.clocks import Moment
from service.domain.errors import Forbidden, InvalidInput, NotFromSender, Unsupported
from service.domain.subjects import Identity, SubjectKind
from service.flows.file_ask import Ask
from service.webhooks.inbound.generic import Reference, Regulation
from service.webhooks.inbound.identities import forget, members
from service.webhooks.inbound.payload import Payload, parse, validated
from service.webhooks.inbound.provider import Rules

VERSION = "1.0"
DELETION = frozenset({"deletion"})
# Section 3.04: the claims that name one person. Each says in a claim of its own whether the agent verified it.
KINDS: Mapping[str, SubjectKind] = {"email": SubjectKind.email, "phone_number": SubjectKind.phone}


@dataclass(frozen=True, slots=True)
class Parties:
    """Who may ask whom: the ids that the service directory gives to the agent, and to the businesses that we are."""

    agent: str
    businesses: frozenset[str]


@dataclass(frozen=True, slots=True)
class Exercise:
    """What a message asks for, and where its agent wants to be told of the status."""

    ask: Ask
    status_callback: str | None


class _Claims(BaseModel):
    model_config = ConfigDict(frozen=True)

    agent: str = Field(alias="agent-id")
    business: str = Field(alias="business-id")


class _Times(BaseModel):
    model_config = ConfigDict(frozen=True)

    issued_at: Moment = Field(alias="issued-at")
    expires_at: Moment = Field(alias="expires-at")


class _Version(BaseModel):
    model_config = ConfigDict(frozen=True)

    version: Literal["1.0"] = Field(alias="drp.version")


class _Exercise(_Version):
    exercise: str
    regime: Regulation | None = None
    status_callback: str | None = None
    agent_request_id: Reference | None = Field(default=None, alias="agent-request-id")


class _Revocation(BaseModel):
    model_config = ConfigDict(frozen=True)

    reason: str | None = None


def checked(message: bytes, parties: Parties, at: datetime) -> Payload:
    """A message whose signature holds, once it is known to be of this agent, for us, and of now.

    Raises:
        Unreadable, InvalidInput: see `parse` and `validated`.
        Forbidden: it is of another agent, or for another business.
        NotFromSender: it is of another time.
    """
    payload = parse(message)
    claims = validated(_Claims, payload)
    if claims.agent != parties.agent:
        raise Forbidden("The message is of another agent.", field="/agent-id", code="wrong-agent")
    if claims.business not in parties.businesses:
        raise Forbidden("The message is for another business.", field="/business-id", code="wrong-business")
    times = validated(_Times, payload)
    if at < times.issued_at:
        raise NotFromSender(
            "The message was issued in the future.",
            field="/issued-at",
            fix="Check the clock, and send it again.",
            code="issued-in-future",
        )
    if at >= times.expires_at:
        raise NotFromSender(
            "The message has expired.", field="/expires-at", fix="Sign a new one.", code="stale-timestamp"
        )
    return payload


def paired_business(payload: Payload) -> str:
    """The business that a checked pairing message is for.

    Raises:
        InvalidInput: it speaks another version of the protocol.
    """
    validated(_Version, payload)
    return validated(_Claims, payload).business


def exercise(message: bytes, payload: Payload, rules: Rules) -> Exercise:
    """What a checked message asks for.

    Raises:
        Unsupported: another right than that to deletion.
        InvalidInput: it does not fit, or names nobody whom the agent verified.
    """
    asked = validated(_Exercise, payload)
    if asked.exercise not in (rules.erasure_types or DELETION):
        raise Unsupported(
            "Of the rights actions only deletion is fulfilled here.", field="/exercise", fix="Ask for `deletion`."
        )
    own = asked.agent_request_id
    ask = Ask(
        key=f"request:{own}" if own is not None else f"message:{hashlib.sha256(message).hexdigest()}",
        operations=(forget(_identities(payload, rules), at=""),),
        reference=own,
        regulation=asked.regime or rules.regulation,
    )
    return Exercise(ask, asked.status_callback)


def check_revocation(message: bytes) -> None:
    """Why a person changes their mind is their own affair, so that the reason is not kept.

    Raises:
        Unreadable, InvalidInput: this asks for no revocation.
    """
    validated(_Revocation, parse(message))


def _identities(payload: Payload, rules: Rules) -> tuple[Identity, ...]:
    """The claims by which to find the person: those that the agent verified, and those that the endpoint trusts."""
    unverified = {name for name in KINDS if payload.get(f"{name}_verified") is not True}
    trusted = {name: value for name, value in payload.items() if name not in unverified}
    found = members(trusted, rules, KINDS, at="")
    if not found and any(payload.get(name) is not None for name in unverified):
        raise InvalidInput(
            "The agent has verified none of the identifiers.",
            field="/",
            fix="Verify `email` or `phone_number`, and say so in `email_verified` or `phone_number_verified`.",
            code="identity-not-verified",
        )
    return found
