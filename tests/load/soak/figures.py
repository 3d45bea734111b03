"""What a soak came to, from the database and from what the clients saw."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select

from service.domain.states import TERMINAL_REQUEST_STATES, VersionState
from service.domain.webhooks import DeliveryState
from service.store.database import Unit
from service.store.tables import Event, Run, UnlearningRequest, Version, WebhookDelivery
from tests.load.soak.intake import Sent
from tests.load.soak.killer import APIS, Kill
from tests.load.soak.plan import Plan
from tests.load.soak.repair import Repair, repairs
from tests.load.soak.world import World
from tests.support.invariants import assert_nothing_lost, audit_of

PUBLISHED = (VersionState.ready, VersionState.quarantined, VersionState.withdrawn)


@dataclass(frozen=True)
class Figures:
    """Counts; seconds. `unanswered`: never sent, or the client was left without an answer, or was refused.

    `planned`, `planned_kills`: requests and deaths of the whole plan, whether or not the time sufficed.

    Duplicates: `extra_requests`, rows that no key stands for, and keys that share one; `extra_versions`, published
    beside another one of the same ledger state; `extra_ends`, requests whose end was told more than once, as an event
    or to the endpoint.
    """

    planned: int
    planned_kills: int
    sent: Sequence[Sent]
    kills: Sequence[Kill]
    repairs: Sequence[Repair]
    states: Counter[str]
    absent: int
    unfinished: int
    extra_requests: int
    extra_versions: int
    extra_ends: int
    undelivered: int
    untold: int
    versions: int
    runs: Counter[str]
    broken_invariant: str | None
    leftovers: int
    wall_s: float
    drained_s: float

    @property
    def accepted(self) -> int:
        return sum(sent.accepted is not None for sent in self.sent)

    @property
    def unanswered(self) -> int:
        return self.planned - self.accepted

    @property
    def waits(self) -> list[float]:
        """Of every accepted request, kills included: from the moment it was due to its answer."""
        return sorted(sent.waited_s for sent in self.sent if sent.accepted is not None)

    @property
    def undisturbed_waits(self) -> list[float]:
        """The same of those that were on their way while every process of the API ran."""
        gaps = [(kill.at, kill.at + (kill.back_s or math.inf)) for kill in self.kills if kill.victim in APIS]
        return sorted(
            sent.waited_s
            for sent in self.sent
            if sent.accepted is not None
            and not any(since < sent.due + sent.waited_s and sent.due < until for since, until in gaps)
        )


def count(
    world: World, plan: Plan, sent: Sequence[Sent], kills: Sequence[Kill], *, wall_s: float, drained_s: float
) -> Figures:
    """Look at everything, once nothing moves any more."""
    accepted = {each.accepted.id for each in sent if each.accepted is not None}
    staging = world.settings.home / "staging"
    broken = _broken_invariant(world, sent)
    with world.house.store.read() as unit:
        states = {row.id: row.state for row in unit.session.scalars(select(UnlearningRequest))}
        answered = sum(each.accepted is not None for each in sent)
        return Figures(
            planned=plan.requests,
            planned_kills=len(plan.deaths),
            sent=sent,
            kills=kills,
            repairs=repairs(unit, audit_of(unit), kills),
            states=Counter(states.values()),
            absent=len(accepted - states.keys()),
            unfinished=sum(states.get(request) not in TERMINAL_REQUEST_STATES for request in accepted),
            extra_requests=len(states) - len(accepted) + answered - len(accepted),
            extra_versions=_extra_versions(unit),
            extra_ends=_extra_ends(unit),
            undelivered=_undelivered(unit),
            untold=len(accepted - _told(world)),
            versions=_count(unit, Version, Version.state.in_(PUBLISHED)),
            runs=_runs(unit),
            broken_invariant=broken,
            leftovers=len(list(staging.glob("*"))) if staging.exists() else 0,
            wall_s=wall_s,
            drained_s=drained_s,
        )


def _broken_invariant(world: World, sent: Sequence[Sent]) -> str | None:
    receipts = {each.accepted.id: each.accepted.receipt for each in sent if each.accepted is not None}
    try:
        assert_nothing_lost(world.house, receipts)
    except AssertionError as error:
        return str(error)
    return None


def _count(unit: Unit, table: type, *conditions: object) -> int:
    return unit.session.scalar(select(func.count()).select_from(table).where(*conditions)) or 0  # type: ignore[arg-type]


def _extra_versions(unit: Unit) -> int:
    state = (Version.line_id, Version.anchor_id, Version.ledger_seq)
    counts = unit.session.execute(select(func.count(), *state).where(Version.state.in_(PUBLISHED)).group_by(*state))
    return sum(row[0] - 1 for row in counts)


def _extra_ends(unit: Unit) -> int:
    ends: Counter[str | None] = Counter()
    filed: Counter[str | None] = Counter()
    number_of: dict[int, str | None] = {}
    for event in unit.session.scalars(select(Event).where(Event.type.in_(["request.created", "request.state"]))):
        filed[event.request_id] += event.type == "request.created"
        if event.data["state"] in TERMINAL_REQUEST_STATES:
            ends[event.request_id] += 1
            number_of[event.seq] = event.request_id
    told = Counter(
        number_of[seq]
        for seq in unit.session.scalars(select(WebhookDelivery.event_seq))
        if seq is not None and seq in number_of
    )
    return sum(number - 1 for counter in (ends, filed, told) for number in counter.values() if number > 1)


def _undelivered(unit: Unit) -> int:
    return _count(unit, WebhookDelivery, WebhookDelivery.state != DeliveryState.delivered)


def _told(world: World) -> set[str]:
    """The requests of whose end the receiver heard."""
    messages = [received.message["data"] for received in world.receiver.received()]
    return {told["request"] for told in messages if told["state"] in TERMINAL_REQUEST_STATES}


def _runs(unit: Unit) -> Counter[str]:
    query = select(Run.kind, Run.state, func.count()).group_by(Run.kind, Run.state)
    named: Counter[str] = Counter()
    for kind, state, number in unit.session.execute(query):
        named[f"{kind} {state}"] += number
    return named
