"""Outgoing webhooks: how deliveries end, when a failed one is tried again, and when an endpoint is given up.

The schedule is the one of the Standard Webhooks specification (1.0.0, "Deliverability and reliability").
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from http import HTTPStatus


class SignatureScheme(StrEnum):
    """How messages to an endpoint are signed."""

    ed25519 = "ed25519"
    hmac = "hmac"


class DeliveryState(StrEnum):
    """`canceled`: the endpoint was switched off before it got there."""

    pending = "pending"
    delivered = "delivered"
    failed = "failed"
    canceled = "canceled"


class DisabledReason(StrEnum):
    """Why an endpoint gets nothing: somebody said so, it answered 410, or it has failed for days."""

    requested = "requested"
    gone = "gone"
    failing = "failing"


class AttemptError(StrEnum):
    """Why there was no answer."""

    unresolvable = "unresolvable"
    address_refused = "address-refused"
    unreachable = "unreachable"
    tls_failed = "tls-failed"
    timeout = "timeout"
    no_http = "no-http"


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of sending a message once: a status, or an error. `retry_after_s`: the wait the answer asks for."""

    status: int | None
    error: AttemptError | None
    seconds: float
    retry_after_s: float | None = None

    @property
    def succeeded(self) -> bool:
        return self.status is not None and HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES

    @property
    def is_gone(self) -> bool:
        return self.status == HTTPStatus.GONE


# After each failed attempt; ten attempts in 75 hours.
PAUSES_S = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
# A pause is up to this share longer, so that what failed together is not repeated together.
JITTER = 0.2
LONGEST_PAUSE_S = 86_400.0
# An endpoint that has answered nothing well for so long is switched off.
DISABLE_AFTER = timedelta(days=5)
# Deliveries are kept so long after they ended, and can be recovered so far back.
KEEP_DELIVERIES = timedelta(days=30)
# How long an older secret goes on signing beside a new one, unless the rotation says otherwise.
ROTATION_OVERLAP = timedelta(days=1)
LONGEST_OVERLAP = timedelta(days=30)


def pause_after(tries: int, attempt: Attempt, *, chance: float) -> timedelta | None:
    """How long to wait after a failed attempt, the `tries`-th; None if it was the last one.

    Args:
        chance: between 0 and 1, drawn anew each time.
    """
    if tries > len(PAUSES_S):
        return None
    planned = PAUSES_S[tries - 1] * (1 + JITTER * chance)
    asked = min(attempt.retry_after_s or 0.0, LONGEST_PAUSE_S)
    return timedelta(seconds=max(planned, asked))
