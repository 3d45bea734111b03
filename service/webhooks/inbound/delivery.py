"""One delivery as it came, and the checks that several providers share."""

import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from service.domain.errors import NotFromSender

# Standard Webhooks 1.0.0, "verifying webhook authenticity": the tolerance of its reference implementations.
TOLERANCE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Delivery:
    """Raw bytes and headers (names in lower case), and when they arrived."""

    headers: Mapping[str, str]
    body: bytes
    at: datetime

    def header(self, *names: str) -> str:
        """The first of these headers that is there.

        Raises:
            NotFromSender: none is, and all of them are part of the proof.
        """
        for name in names:
            if name in self.headers:
                return self.headers[name]
        raise NotFromSender(f"The delivery lacks the header {names[0]}.", field=names[0], fix="Send it.")

    def check_time(self, sent_at: datetime, *, field: str) -> None:
        """Raises NotFromSender: it was sent too long ago, or will be."""
        if abs(self.at - sent_at) > TOLERANCE:
            raise NotFromSender(
                "The delivery's timestamp is more than five minutes away.",
                field=field,
                fix="Send it again with a fresh timestamp, and check the sender's clock.",
                code="stale-timestamp",
            )


def wrong_signature(field: str) -> NotFromSender:
    return NotFromSender(
        "No secret of this endpoint matches the signature.",
        field=field,
        fix="Compare the sender's secret with the endpoint's, and sign the bytes that are sent.",
    )


def matches_any(given: bytes, expected: Iterable[bytes]) -> bool:
    """Whether one is equal, in a time that does not tell how far."""
    return any(hmac.compare_digest(given, one) for one in expected)
