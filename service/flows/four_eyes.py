"""Four eyes: who creates a request may not approve it, nor accept an outcome that falls short.

Compared are not tokens but whom they stand for. All tokens of a person of the identity provider are that person, and
so are the keys that the person made; the tokens that a key has had are that key. Keys that a key made are others than
it: who hands them out answers for it that they go to others (`keys:manage` is a scope of its own).
"""

from service.domain.errors import Forbidden
from service.store.database import Unit
from service.store.tables import UnlearningRequest

PERSON = "oidc:"


def person_of(unit: Unit, actor: str) -> str | None:
    """The person behind an actor's id; None if it is a key that no person made, or no caller at all."""
    if actor.startswith(PERSON):
        return actor
    key = unit.access.key(actor)
    return None if key is None else key.person


def is_creator(unit: Unit, request: UnlearningRequest, actor: str) -> bool:
    """Whether the actor is who created the request, or the same person with another key."""
    creator = request.created_by
    return (person_of(unit, creator) or creator) == (person_of(unit, actor) or actor)


def require_another(unit: Unit, request: UnlearningRequest, actor: str, *, verb: str) -> None:
    """Raises Forbidden: the actor is who created the request."""
    if is_creator(unit, request, actor):
        raise Forbidden(
            f"Who creates a request may not {verb} it.",
            fix=f"Let another key or another person {verb} it.",
            code="four-eyes",
        )
