"""Note what was decided about a request, beside all that was decided before."""

from datetime import datetime

from service.domain.decisions import Decision, RejectionCode, Verb
from service.store.database import Unit
from service.store.tables import UnlearningRequest


def note(
    unit: Unit,
    request: UnlearningRequest,
    verb: Verb,
    *,
    actor: str,
    reason: str | None = None,
    reason_code: RejectionCode | None = None,
    due_at: datetime | None = None,
) -> None:
    """Add a decision to a locked request's record. Reasons are free text, so they stay out of the audit chain."""
    made = Decision(verb=verb, by=actor, at=unit.now, reason=reason, reason_code=reason_code, due_at=due_at)
    request.decisions = [*request.decisions, made.model_dump(mode="json")]


def decisions_of(request: UnlearningRequest) -> list[Decision]:
    """Oldest first."""
    return [Decision.model_validate(made) for made in request.decisions]
