"""What is asked of the service: the body of an unlearning request, of a plan, or of a search for requests."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from service.client.call import iso
from service.domain.operations import CorrectResponse, ModifyQuery, Operation, Remove, Selection
from service.domain.subjects import Identity, identities_of


def remove(*instance_ids: str, subject: str | Identity | tuple[str | Identity, ...] | None = None) -> Remove:
    """Forget instances, or everything about one data subject, whom several identifiers may name.

    Raises:
        ValidationError: both are given, or neither.
    """
    return Remove(type="remove", select=Selection(instance_ids=instance_ids or None, subject=subject))


def modify_query(instance_id: str, prompt: str) -> ModifyQuery:
    """The instance should have had another prompt."""
    return ModifyQuery(type="modify_query", instance_id=instance_id, prompt=prompt)


def correct_response(instance_id: str, completion: str) -> CorrectResponse:
    """The instance should have had another completion."""
    return CorrectResponse(type="correct_response", instance_id=instance_id, completion=completion)


def unlearning(
    *operations: Operation,
    adapters: Sequence[str] = (),
    strategy: str | None = None,
    client_reference: str | None = None,
    regulation: str | None = None,
    received_at: datetime | None = None,
    due_at: datetime | None = None,
    urgent: bool = False,
) -> dict[str, Any]:
    """The body of a request or a plan. Without adapters it concerns every line that holds a match.

    Dates have time zones. An urgent one waits neither for others nor for quiet hours to end.
    """
    body = {
        "operations": [operation.model_dump(mode="json", exclude_none=True) for operation in operations],
        "adapters": list(adapters) or None,
        "strategy": strategy,
        "client_reference": client_reference,
        "regulation": regulation,
        "received_at": iso(received_at),
        "due_at": iso(due_at),
        "urgent": urgent or None,
    }
    return {name: value for name, value in body.items() if value is not None}


def looking_for(
    *,
    subject: str | Identity | tuple[str | Identity, ...] | None = None,
    state: str | None = None,
    adapter: str | None = None,
    client_reference: str | None = None,
    regulation: str | None = None,
    created_after: datetime | None = None,
    created_before: datetime | None = None,
    due_before: datetime | None = None,
    overdue: bool = False,
) -> dict[str, Any]:
    """The body of a search for requests.

    Several subjects are identifiers of the same person. Dates have time zones.
    """
    identities = [one.model_dump(mode="json", exclude_none=True) for one in identities_of(subject)]
    search = {
        "subject": identities or None,
        "state": state,
        "adapter": adapter,
        "client_reference": client_reference,
        "regulation": regulation,
        "created_after": iso(created_after),
        "created_before": iso(created_before),
        "due_before": iso(due_before),
        "overdue": overdue or None,
    }
    return {name: value for name, value in search.items() if value is not None}
