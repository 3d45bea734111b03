"""The buttons of a request's page: what its state allows, the actor's scopes allow, and four eyes allow."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from service.api.desk.visit import Visit
from service.flows.four_eyes import is_creator
from service.flows.options import options
from service.store.database import Unit
from service.store.tables import UnlearningRequest


@dataclass(frozen=True, slots=True)
class Offer:
    """One decision. `done`: how it is told afterwards. `is_grave`: it cannot be taken back, or refuses somebody."""

    verb: str
    name: str
    means: str
    done: str
    asks_reason: bool = False
    may_give_reason: bool = False
    asks_date: bool = False
    asks_code: bool = False
    is_grave: bool = False

    @property
    def operation(self) -> str:
        return f"{self.verb}_request"


OFFERS: Mapping[str, Offer] = {
    offer.verb: offer
    for offer in (
        Offer("approve", "Approve", "Work begins as soon as a worker is free.", "Approved."),
        Offer(
            "reject",
            "Reject",
            "Nothing is changed, and the request is closed for good.",
            "Rejected, and the refusal signed.",
            asks_reason=True,
            asks_code=True,
            is_grave=True,
        ),
        Offer(
            "accept",
            "Accept as it is",
            "The outcome stands although it falls short. No claim rises by it; the certificates quote your reason, so "
            "name nobody.",
            "Accepted.",
            asks_reason=True,
            is_grave=True,
        ),
        Offer("retry", "Try again", "What failed is queued again.", "Queued again."),
        Offer(
            "hold",
            "Hold",
            "Work stops and what is not published yet is undone. The legal clock goes on.",
            "On hold.",
            may_give_reason=True,
        ),
        Offer("release", "Release", "Work goes on.", "Released."),
        Offer(
            "extend",
            "Extend",
            "Moves the due date, once, and only before it passes. Tell the person who asked, and why.",
            "The due date was moved.",
            asks_reason=True,
            asks_date=True,
        ),
        Offer(
            "cancel",
            "Call off",
            "The request is closed without an answer. That is for good.",
            "Called off.",
            is_grave=True,
        ),
    )
}
# Whoever asked for something does not decide that it is right.
FOUR_EYES = frozenset({"approve", "accept"})


@dataclass(frozen=True, slots=True)
class Offered:
    offers: tuple[Offer, ...]
    needs_other_eyes: bool


def offered(unit: Unit, request: UnlearningRequest, visit: Visit) -> Offered:
    """What this actor may decide about the request now."""
    legal = options(unit, request)
    allowed = [offer for verb, offer in OFFERS.items() if verb in legal and visit.may(offer.operation)]
    is_own = is_creator(unit, request, visit.actor.id)
    kept = tuple(_without_own(allowed) if is_own else allowed)
    return Offered(kept, len(kept) < len(allowed))


def _without_own(allowed: list[Offer]) -> Iterator[Offer]:
    return (offer for offer in allowed if offer.verb not in FOUR_EYES)
