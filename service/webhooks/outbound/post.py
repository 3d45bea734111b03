"""Send one message once, and say what came of it (Standard Webhooks 1.0.0).

Of the answer only status and `Retry-After` are looked at. The rest is read so that the receiver can finish, up to a
limit, and dropped: kept, it would show whoever manages endpoints what else answers at a URL.
"""

import ssl
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from service.domain.version import ENGINE_VERSION
from service.domain.webhooks import Attempt, AttemptError
from service.egress.transport import AddressRefused, Unresolvable
from service.flows.deliver import ClaimedDelivery

# From the connection's begin to the end of the answer.
DEADLINE_S = 15.0
MAX_RESPONSE_BYTES = 16_384

_ERRORS: tuple[tuple[type[httpx.HTTPError], AttemptError], ...] = (
    (Unresolvable, AttemptError.unresolvable),
    (AddressRefused, AttemptError.address_refused),
    (httpx.TimeoutException, AttemptError.timeout),
    (httpx.NetworkError, AttemptError.unreachable),
)


def post(client: httpx.Client, claimed: ClaimedDelivery) -> Attempt:
    """One attempt. `client`: one that connects to checked addresses only."""
    return send(client, claimed.url, claimed.body, _signatures(claimed))


def send(client: httpx.Client, url: str, body: bytes, proof: Mapping[str, str]) -> Attempt:
    """One attempt to send JSON. `proof`: headers that show who sends."""
    headers = {"content-type": "application/json", "user-agent": f"lethe/{ENGINE_VERSION}", **proof}
    started = time.monotonic()
    try:
        with client.stream("POST", url, content=body, headers=headers) as response:
            status, retry_after_s = response.status_code, _retry_after_s(response.headers.get("Retry-After"))
            _drain(response)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return Attempt(None, _named(error), time.monotonic() - started)
    return Attempt(status, None, time.monotonic() - started, retry_after_s)


def _signatures(claimed: ClaimedDelivery) -> dict[str, str]:
    now = int(time.time())
    return {
        "webhook-id": claimed.id,
        "webhook-timestamp": str(now),
        "webhook-signature": " ".join(key.sign(claimed.id, now, claimed.body) for key in claimed.keys),
    }


def _drain(response: httpx.Response) -> None:
    """The status is the answer, so what goes wrong afterwards does not matter."""
    read = 0
    try:
        for chunk in response.iter_raw():
            read += len(chunk)
            if read > MAX_RESPONSE_BYTES:
                return
    except httpx.HTTPError:
        return


def _named(error: Exception) -> AttemptError:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return AttemptError.tls_failed
        cause = cause.__cause__ or cause.__context__
    return next((name for kind, name in _ERRORS if isinstance(error, kind)), AttemptError.no_http)


def _retry_after_s(value: str | None) -> float | None:
    """Seconds of a `Retry-After` header (RFC 9110, section 10.2.3): a number, or a date."""
    if value is None:
        return None
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
