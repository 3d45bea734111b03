"""How often a caller may call, and an address may fail: token buckets in the memory of each API process.

Kept here and not in Redis, so that intake does not depend on it: of N processes each allows the limits by itself, and
one that restarts begins anew. A bucket refills steadily, and holds what a caller may spend at once.
"""

import math
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network

from service.api.errors import TooManyCalls
from service.settings import Settings

# The least recently used are forgotten, which is as if they had paused.
MAX_BUCKETS = 10_000
_IPV6_CUSTOMER = 64


@dataclass(frozen=True, slots=True)
class Quota:
    """What a bucket holds after a call. `size`, `left`: calls; the rest: seconds. `wait_s`: 0 unless refused."""

    name: str
    size: int
    window_s: int
    left: int
    full_in_s: int
    wait_s: float = 0.0


class Buckets:
    """A bucket for each of many names. `per_minute`: how fast they refill; `burst_s`: for how long, until full."""

    def __init__(self, kind: str, per_minute: int, burst_s: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._kind, self._clock = kind, clock
        self._rate, self._window_s = per_minute / 60, burst_s
        self._size = max(1, math.floor(self._rate * burst_s))
        self._held: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, name: str, count: int = 1) -> Quota | None:
        """Spend `count` calls, or none if the bucket holds fewer; None: there is no limit."""
        if self._rate == 0:
            return None
        with self._lock:
            now = self._clock()
            level, at = self._held.pop(name, (float(self._size), now))
            level = min(self._size, level + (now - at) * self._rate)
            enough = level >= count
            level -= count if enough else 0
            self._held[name] = (level, now)
            if len(self._held) > MAX_BUCKETS:
                self._held.popitem(last=False)
        full_in_s = math.ceil((self._size - level) / self._rate)
        wait_s = 0.0 if enough else (count - level) / self._rate
        return Quota(self._kind, self._size, self._window_s, math.floor(level), full_in_s, wait_s)

    def wait_s(self, name: str) -> float:
        """Seconds until the bucket holds a call; 0 if it does. Spends nothing."""
        if self._rate == 0:
            return 0.0
        with self._lock:
            level, at = self._held.get(name, (float(self._size), self._clock()))
            level += (self._clock() - at) * self._rate
        return max(0.0, (1 - level) / self._rate)


class Limits:
    """The limits of one API process."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        burst_s = settings.rate_burst_s
        self._calls = Buckets("calls", settings.rate_limit, burst_s, clock)
        self._posts = Buckets("posts", settings.rate_limit_posts, burst_s, clock)
        self._failures = Buckets("failures", settings.rate_limit_failures, burst_s, clock)
        self._proven: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()
        self._max_streams = settings.max_streams
        self._streams: Counter[str] = Counter()

    def check_address(self, address: str | None, credential: str) -> None:
        """Refuse a credential unseen if its address has sent too many wrong ones, unless it was right before.

        So those who share an address with somebody who guesses, behind one proxy for instance, are not shut out.

        Args:
            credential: its keyed hash.

        Raises:
            TooManyCalls: that is so.
        """
        wait_s = self._failures.wait_s(_customer(address))
        if wait_s > 0 and credential not in self._proven:
            raise TooManyCalls(
                "Too many wrong keys or tokens came from this address.", wait_s=wait_s, code="too-many-failures"
            )

    def failed(self, address: str | None, credential: str) -> None:
        """Note a wrong credential."""
        with self._lock:
            self._proven.pop(credential, None)
        self._failures.take(_customer(address))

    def proven(self, credential: str) -> None:
        """Note a right one."""
        with self._lock:
            self._proven[credential] = None
            self._proven.move_to_end(credential)
            if len(self._proven) > MAX_BUCKETS:
                self._proven.popitem(last=False)

    def admit(self, actor: str, *, is_post: bool) -> Sequence[Quota]:
        """Count a call; what is left.

        Raises:
            TooManyCalls: nothing was left.
        """
        taken = [buckets.take(actor) for buckets in ((self._calls, self._posts) if is_post else (self._calls,))]
        quotas = [quota for quota in taken if quota is not None]
        wait_s = max((quota.wait_s for quota in quotas), default=0.0)
        if wait_s > 0:
            refusal = TooManyCalls("This caller has made too many calls.", wait_s=wait_s)
            refusal.headers = {**refusal.headers, **quota_headers(quotas)}
            raise refusal
        return quotas

    @contextmanager
    def stream(self, actor: str) -> Iterator[None]:
        """Hold an event stream open. Belongs to the event loop.

        Raises:
            TooManyCalls: the caller holds as many as it may.
        """
        if self._streams[actor] >= self._max_streams:
            raise TooManyCalls(
                f"This caller holds {self._max_streams} event streams open.", wait_s=1, code="too-many-streams"
            )
        self._streams[actor] += 1
        try:
            yield
        finally:
            self._streams[actor] -= 1
            if not self._streams[actor]:
                del self._streams[actor]


def quota_headers(quotas: Sequence[Quota]) -> dict[str, str]:
    """What is left, as draft-ietf-httpapi-ratelimit-headers-10 writes it."""
    if not quotas:
        return {}
    return {
        "RateLimit-Policy": ", ".join(f'"{quota.name}";q={quota.size};w={quota.window_s}' for quota in quotas),
        "RateLimit": ", ".join(f'"{quota.name}";r={quota.left};t={quota.full_in_s}' for quota in quotas),
    }


def _customer(address: str | None) -> str:
    """An address as failures are counted: of IPv6 the network that a customer gets (RFC 6177)."""
    try:
        parsed = ip_address((address or "").partition("%")[0])
    except ValueError:
        return "unknown"
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    return str(parsed.ipv4_mapped or ip_network((parsed, _IPV6_CUSTOMER), strict=False))
