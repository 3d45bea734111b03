"""What states, claims, metrics and copies are called on a report's page: plain words, and none that promise more."""

import math
from collections.abc import Mapping
from datetime import datetime

from service.api.report.scale import signed
from service.domain.acceptance import Shortfall
from service.domain.adapters import ClaimLevel
from service.domain.decisions import MEANINGS, RejectionCode, Verb
from service.domain.measurements import Distribution, Group, Measurement, Outcome, Wish
from service.domain.runs import RunKind
from service.domain.states import RequestState, TargetState
from service.evidence.plain_words import ACCEPTED, COPIES, DESTROYED

HEADLINES: Mapping[ClaimLevel, str] = {
    ClaimLevel.exact: "Retrained without the data",
    ClaimLevel.calibrated: "Updated, and in agreement with retrained references",
    ClaimLevel.measured: "Updated, and it passed its measurements",
    ClaimLevel.inconclusive: "Updated, but the measurements could not decide",
}

RETIRED_HEADLINE = "Retired: nothing of the line is served any more"
FAILED_HEADLINE = "Updated, but it failed its measurements"

TARGET_WORDS: Mapping[TargetState, str] = {
    TargetState.awaiting_approval: "Waiting for approval",
    TargetState.queued: "Waiting for a worker",
    TargetState.running: "Being worked on",
    TargetState.awaiting_rebuild: "Waiting for a rebuild",
    TargetState.needs_attention: "Needs attention",
    TargetState.succeeded: "Answered",
    TargetState.rejected: "Rejected",
    TargetState.canceled: "Called off",
    TargetState.failed: "Failed",
}

REQUEST_WORDS: Mapping[RequestState, str] = {
    RequestState.received: "Received; nothing was decided yet.",
    RequestState.awaiting_approval: "Waiting for approval; nothing was changed yet.",
    RequestState.queued: "Waiting for a worker; nothing was changed yet.",
    RequestState.running: "Work is under way.",
    RequestState.awaiting_rebuild: "Answered for now; the line's policy asks for more, which a rebuild will bring.",
    RequestState.needs_attention: "Stopped: somebody has to look at it.",
    RequestState.succeeded: "Answered on every adapter line that it affects.",
    RequestState.rejected: "Rejected; nothing was changed.",
    RequestState.canceled: "Called off; nothing was changed.",
    RequestState.failed: "Failed.",
}

DECISION_WORDS: Mapping[Verb, str] = {
    Verb.approve: "Approved",
    Verb.reject: "Rejected",
    Verb.accept: "Accepted as it is",
    Verb.cancel: "Called off",
    Verb.hold: "Put on hold",
    Verb.release: "Released",
    Verb.extend: "Due date extended",
    Verb.retry: "Tried again",
}

REJECTION_WORDS: Mapping[RejectionCode, str] = MEANINGS

RUN_WORDS: Mapping[RunKind, str] = {
    RunKind.train: "Training",
    RunKind.import_: "Import",
    RunKind.influence: "Approximate update",
    RunKind.rebuild: "Rebuild (retrain without the data)",
    RunKind.collapse: "Collapse (the updated version becomes the new base of updates)",
    RunKind.out_of_fold: "Preparation",
    RunKind.retire: "Retirement (the line is out of service for good)",
}

GROUP_WORDS: Mapping[Group, str] = {
    Group.forgotten: "forgotten",
    Group.corrected: "corrected",
    Group.retained: "retained",
    Group.never_seen: "never seen",
}

OUTCOME_WORDS: Mapping[Outcome, str] = {
    Outcome.passed: "passed",
    Outcome.failed: "failed",
    Outcome.inconclusive: "inconclusive",
    Outcome.informative: "no verdict",
}

WISH_WORDS: Mapping[Wish, str] = {
    Wish.equal: "as the reference",
    Wish.not_above: "not above it",
    Wish.not_below: "not below it",
}

_METRICS: Mapping[str, str] = {"min_k": "Min-K %", "exact_memorization": "Exact memorisation"}
_ACRONYMS = frozenset({"kl", "auc", "mia", "nll", "tpr", "fpr"})


def headline(level: ClaimLevel, *, has_failed: bool, is_retirement: bool) -> str:
    if is_retirement:
        return RETIRED_HEADLINE
    return FAILED_HEADLINE if has_failed and level is ClaimLevel.inconclusive else HEADLINES[level]


def although(shortfall: Shortfall) -> str:
    return ACCEPTED[shortfall]


def remaining_copy(kind: str) -> str:
    return _capital(COPIES.get(kind, kind))


def destroyed_copy(kind: str) -> str:
    return _capital(DESTROYED.get(kind) or COPIES.get(kind, kind))


def metric_name(metric: str) -> str:
    """`extraction_strength` is `Extraction strength`, `membership_auc` is `Membership AUC`."""
    if metric in _METRICS:
        return _METRICS[metric]
    words = metric.replace("-", "_").split("_")
    plain = " ".join(word.upper() if word.lower() in _ACRONYMS else word for word in words if word)
    return _capital(plain)


def measured_on(measurement: Measurement) -> str:
    return f"{metric_name(measurement.metric)}, {GROUP_WORDS[measurement.group]}"


def distribution_name(distribution: Distribution) -> str:
    return f"{GROUP_WORDS[distribution.group]}, {'before' if distribution.before else 'after'}"


def number(value: float | None) -> str:
    """Three significant digits; a dash for what there is not."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    if not 1e-4 <= abs(value) < 1e6:
        mantissa, _, exponent = f"{value:.2e}".partition("e")
        return signed(f"{mantissa} × 10^{int(exponent)}").replace("^-", "^−")
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return signed(f"{value:.{digits}f}")


def short(value: float | None) -> str:
    """What was chosen rather than measured: without zeros at its end."""
    return "–" if value is None else signed(f"{value:.4g}")


def percent(share: float) -> str:
    return f"{share:.1%}" if 0 < share < 0.1 else f"{share:.0%}"


def moment(value: datetime) -> str:
    return f"{value.day} {value:%B %Y, %H:%M} UTC"


def duration(seconds: float) -> str:
    if seconds < 120:
        return f"{number(seconds)} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
