"""What the desk calls states and moments: short plain words, each with a tone that a colour only repeats."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from enum import StrEnum
from typing import Any

from markupsafe import Markup, escape

from service.api.schemas.requests import RequestRead
from service.domain.states import Outcome, RequestState, TargetState, VersionState
from service.domain.webhooks import DeliveryState


class Tone(StrEnum):
    """`good`: done. `busy`: under way. `wait`: somebody or something is waited for. `bad`: needs a person."""

    good = "good"
    busy = "busy"
    wait = "wait"
    bad = "bad"
    quiet = "quiet"


@dataclass(frozen=True, slots=True)
class Said:
    text: str
    tone: Tone


_REQUEST_STATES: Mapping[RequestState, Said] = {
    RequestState.received: Said("Received", Tone.busy),
    RequestState.awaiting_approval: Said("Needs approval", Tone.wait),
    RequestState.queued: Said("Queued", Tone.busy),
    RequestState.running: Said("Running", Tone.busy),
    RequestState.awaiting_rebuild: Said("Rebuild pending", Tone.busy),
    RequestState.needs_attention: Said("Needs attention", Tone.bad),
    RequestState.succeeded: Said("Answered", Tone.good),
    RequestState.rejected: Said("Rejected", Tone.quiet),
    RequestState.canceled: Said("Called off", Tone.quiet),
    RequestState.failed: Said("Failed", Tone.bad),
}
_OUTCOMES: Mapping[Outcome, Said] = {
    Outcome.done: _REQUEST_STATES[RequestState.succeeded],
    Outcome.no_match: Said("Nothing found", Tone.good),
    Outcome.partial: Said("Answered in part", Tone.wait),
}
VERSION_STATES: Mapping[VersionState, Said] = {
    VersionState.preparing: Said("Preparing", Tone.busy),
    VersionState.ready: Said("Ready", Tone.good),
    VersionState.rejected: Said("Rejected", Tone.bad),
    VersionState.quarantined: Said("Quarantined", Tone.wait),
    VersionState.withdrawn: Said("Withdrawn", Tone.quiet),
}
LINE_STATES: Mapping[str, Said] = {
    "empty": Said("Empty", Tone.quiet),
    "preparing": Said("Preparing", Tone.busy),
    "ready": Said("Ready", Tone.good),
    "retired": Said("Retired", Tone.quiet),
}
DELIVERY_STATES: Mapping[DeliveryState, Said] = {
    DeliveryState.pending: Said("Pending", Tone.busy),
    DeliveryState.delivered: Said("Delivered", Tone.good),
    DeliveryState.failed: Said("Failed", Tone.bad),
    DeliveryState.canceled: Said("Canceled", Tone.quiet),
}
OPERATIONS: Mapping[str, str] = {
    "remove": "Remove",
    "correct_response": "Correct a response",
    "modify_query": "Modify a query",
}


def state_of(request: RequestRead) -> Said:
    if request.state is RequestState.succeeded and request.outcome is not None:
        return _OUTCOMES[request.outcome]
    return state_called(request.state)


def state_called(state: RequestState | TargetState) -> Said:
    return _REQUEST_STATES[RequestState(state)]


def clock_of(request: RequestRead, now: datetime, soon: timedelta) -> Said:
    """How a request stands against its due date. `soon`: how long before it that presses."""
    if request.finished_at is not None:
        late = request.finished_at - request.due_at
        return Said(f"{_days(late)} late", Tone.wait) if late > timedelta() else Said("in time", Tone.quiet)
    left = request.due_at - now
    if left < timedelta():
        return Said(f"{_days(-left)} overdue", Tone.bad)
    return Said(f"{_days(left)} left", Tone.wait if left < soon else Tone.quiet)


def _days(span: timedelta) -> str:
    """Whole days, and hours on the last one."""
    if span < timedelta(days=1):
        hours = math.floor(span / timedelta(hours=1))
        return "under an hour" if hours == 0 else f"{hours} hour{'' if hours == 1 else 's'}"
    return f"{span.days} day{'' if span.days == 1 else 's'}"


def asked_for(counts: Mapping[str, int]) -> str:
    """`Remove`, or `Remove ×2, Correct a response`."""
    return ", ".join(OPERATIONS.get(type_, type_) + (f" ×{n}" if n > 1 else "") for type_, n in counts.items())


def moment(value: datetime, zone: tzinfo) -> str:
    return f"{value.astimezone(zone):%Y-%m-%d %H:%M %Z}"


def day(value: datetime, zone: tzinfo) -> str:
    """The day in the zone where legal clocks are counted: in UTC a due date in America would be the day after."""
    return f"{value.astimezone(zone):%Y-%m-%d}"


def ago(value: datetime, now: datetime) -> str:
    seconds = (now - value).total_seconds()
    if seconds < 60:
        return "just now"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min ago"
    if seconds < 86_400:
        return f"{seconds // 3600:.0f} h ago"
    return f"{seconds // 86_400:.0f} d ago"


def sentence(text: str) -> str:
    """The first one, without marks."""
    return text.replace("`", "").partition(". ")[0].rstrip(".") + "." if text else ""


def marked(text: str) -> Markup:
    """A text of the API's description: what stands between back ticks is code."""
    parts = text.split("`")
    return Markup().join(Markup("<code>{}</code>").format(p) if n % 2 else escape(p) for n, p in enumerate(parts))


def policy(fields: Mapping[str, object]) -> list[tuple[str, str]]:
    """A line's policy, one row a field; what is nested is for the API."""
    return [_rule(name, value) for name, value in fields.items() if not isinstance(value, dict)]


def _rule(name: str, value: object) -> tuple[str, str]:
    label = name.removesuffix("_s").replace("_", " ").capitalize()
    if isinstance(value, bool):
        return label, "yes" if value else "no"
    if value is None:
        return label, "–"
    if name.endswith("_s") and isinstance(value, int | float):
        return label, _span(timedelta(seconds=value))
    if isinstance(value, float) and name in _SHARES:
        return label, f"{value:.0%}"
    if isinstance(value, list):
        return label, ", ".join(map(_window, value)) or "none"
    return label, f"{value:g}" if isinstance(value, float) else str(value)


_SHARES = frozenset({"max_share", "influence_share", "update_budget"})


def _window(window: Mapping[str, Any]) -> str:
    days = window.get("days")
    return f"{window['from']}–{window['to']} {window['zone']}" + (f" ({', '.join(map(str, days))})" if days else "")


def _span(span: timedelta) -> str:
    if span.total_seconds() % 86_400 == 0:
        return f"{span.days} day{'' if span.days == 1 else 's'}"
    return f"{span.total_seconds() / 60:g} min"


def short_id(value: str) -> str:
    """The kind and the end of a typed id, which are the parts that tell ids apart."""
    kind, _, rest = value.partition("_")
    return f"{kind}…{rest[-6:]}" if len(rest) > 10 else value
