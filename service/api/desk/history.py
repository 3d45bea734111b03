"""What happened to a request, from receipt to certificate, as the events feed has it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

from service.api.desk.words import Tone, moment, short_id, state_called
from service.api.report.words import DECISION_WORDS, RUN_WORDS
from service.domain.adapters import ClaimLevel
from service.domain.decisions import MEANINGS, Decision
from service.domain.events import EVENT_TYPES, NOISE
from service.domain.runs import RunKind
from service.domain.states import RequestState
from service.flows.decisions import decisions_of
from service.store.database import Unit
from service.store.tables import Event, UnlearningRequest

_LONGEST = 500
_TOLD_AS_DECISIONS = frozenset({"request.held", "request.released", "request.extended", "request.accepted"})


@dataclass(frozen=True, slots=True)
class Happening:
    """One event in words. `request`, `adapter`: what it concerns."""

    at: datetime
    text: str
    tone: Tone
    request: str | None
    adapter: str | None


def history(unit: Unit, request: UnlearningRequest, run_ids: Iterable[str], zone: tzinfo) -> list[Happening]:
    """Oldest first: the events of the request and of the runs that served it. `zone`: where days are counted."""
    events = {event.seq: event for event in unit.feed.events(0, limit=_LONGEST, request_id=request.id)}
    for run_id in run_ids:
        events.update(
            {event.seq: event for event in unit.feed.events(0, limit=_LONGEST, run_id=run_id, without=NOISE)}
        )
    told = [happening(event) for _, event in sorted(events.items()) if event.type not in _TOLD_AS_DECISIONS]
    decided = [_decided(decision, zone) for decision in decisions_of(request)]
    return sorted([*told, *decided], key=lambda one: one.at)


def _decided(decision: Decision, zone: tzinfo) -> Happening:
    more = [] if decision.reason_code is None else [MEANINGS[decision.reason_code]]
    more += [] if decision.due_at is None else [f"To {moment(decision.due_at, zone)}."]
    more += [] if decision.reason is None else [decision.reason]
    text = f"{DECISION_WORDS[decision.verb]} by {short_id(decision.by)}" + (f": {' '.join(more)}" if more else "")
    return Happening(decision.at, text, Tone.wait, None, None)


def happening(event: Event) -> Happening:
    text, tone = _told(event.type, event.data)
    return Happening(event.created_at, text, tone, event.request_id, event.adapter)


def _told(type_: str, data: Mapping[str, Any]) -> tuple[str, Tone]:
    match type_:
        case "request.created":
            return "Received; the receipt was signed", Tone.good
        case "request.state":
            said = state_called(RequestState(data["state"]))
            return said.text, said.tone
        case "run.started":
            again = f", attempt {data['attempt']}" if data.get("attempt", 1) > 1 else ""
            return f"{_run(data)} began{again}", Tone.busy
        case "run.succeeded":
            return f"{_run(data)} is done", Tone.busy
        case "run.failed":
            return f"{_run(data)} failed ({data['code']})", Tone.bad
        case "run.escalated":
            return "Goes to a rebuild instead", Tone.wait
        case "run.canceled":
            return f"{_run(data)} is not wanted any more", Tone.quiet
        case "certificate.issued":
            standing = "Final" if data.get("final") else "Interim"
            level = ClaimLevel(data["claim_level"])
            return f"{standing} certificate issued, claim level {level.value} ({level.name})", Tone.good
        case "version.ready" | "version.withdrawn" | "version.created" | "alias.moved" if "version" in data:
            what = f"{data['alias']} → v{data['version']}" if "alias" in data else f"v{data['version']}"
            return f"{EVENT_TYPES[type_].rstrip('.')}: {what}", Tone.quiet
    is_trouble = type_.endswith((".failed", ".overdue", ".rejected", ".disabled"))
    return EVENT_TYPES.get(type_, type_).rstrip("."), Tone.bad if is_trouble else Tone.quiet


def _run(data: Mapping[str, Any]) -> str:
    return RUN_WORDS[RunKind(data["kind"])].partition(" (")[0]
