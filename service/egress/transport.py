"""An httpx transport that connects to checked addresses only.

A host is resolved once a connection; if one of its addresses is not allowed, none is used; else the connection goes to
an address that was checked, while the TLS name and the Host header stay the URL's. So a name whose answer changes
gains nothing. A connection serves one request and has a deadline for all of it: a peer that sends a byte now and then
cannot hold it. Give the client `trust_env=False` and `no_cookies`, and leave `follow_redirects` off, as
`guarded_client` does. How much of an answer is read is the caller's to limit.
"""

import socket
import ssl
import time
from collections.abc import Callable, Iterable, Sequence
from http.cookiejar import CookieJar, DefaultCookiePolicy
from ipaddress import ip_address
from typing import Any, Protocol

import httpcore
import httpx

from service.domain.addresses import Address
from service.egress.address import AddressPolicy

Resolver = Callable[[str, int], Sequence[str]]

CONNECT_TIMEOUT_S = 5.0


class Allows(Protocol):
    """Says which addresses may be connected to."""

    def allows(self, address: Address) -> bool: ...


class AddressRefused(httpx.ConnectError):
    """The host has an address that outgoing connections may not lead to."""


class Unresolvable(httpx.ConnectError):
    """The host has no address."""


def resolve(host: str, port: int) -> Sequence[str]:
    """The addresses of a host, best first.

    Raises:
        Unresolvable: there is none.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Unresolvable("the host has no address") from error
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class GuardedTransport(httpx.HTTPTransport):
    """Connects as `policy` allows. `deadline_s`: from the connection's begin to the last byte that is read."""

    def __init__(
        self,
        policy: Allows,
        *,
        deadline_s: float,
        resolver: Resolver = resolve,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        # Of the environment only the certificates are taken (SSL_CERT_FILE), for receivers with a private authority.
        tls = tls or httpx.create_ssl_context()
        super().__init__(verify=tls)
        # httpx has no argument for the network backend.
        self._pool = httpcore.ConnectionPool(
            ssl_context=tls,
            max_connections=None,
            max_keepalive_connections=0,
            network_backend=_GuardedBackend(policy, resolver, deadline_s),
        )


def guarded_client(
    policy: AddressPolicy, *, deadline_s: float, resolver: Resolver = resolve, tls: ssl.SSLContext | None = None
) -> httpx.Client:
    """A client without proxies, redirects, cookies or credentials from the environment. Threads may share it."""
    transport = GuardedTransport(policy, deadline_s=deadline_s, resolver=resolver, tls=tls)
    timeout = httpx.Timeout(deadline_s, connect=min(CONNECT_TIMEOUT_S, deadline_s))
    return httpx.Client(
        transport=transport, timeout=timeout, trust_env=False, follow_redirects=False, cookies=no_cookies()
    )


def no_cookies() -> CookieJar:
    """A jar that stays empty: kept, the cookies of a peer would grow without end, and be sent for other callers."""
    return CookieJar(DefaultCookiePolicy(allowed_domains=()))


class _GuardedBackend(httpcore.SyncBackend):
    def __init__(self, policy: Allows, resolver: Resolver, deadline_s: float) -> None:
        self._policy, self._resolver, self._deadline_s = policy, resolver, deadline_s

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        deadline = time.monotonic() + self._deadline_s
        failure: Exception = Unresolvable("the host has no address")
        for address in self._checked(host, port):
            try:
                stream = super().connect_tcp(address, port, _left(deadline, timeout), local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return _DeadlineStream(stream, deadline)
        raise failure

    def _checked(self, host: str, port: int) -> Sequence[str]:
        addresses = self._resolver(host, port)
        # A scope (`fe80::1%eth0`) is no part of the address.
        if not all(self._policy.allows(ip_address(address.partition("%")[0])) for address in addresses):
            raise AddressRefused("the host has an address that is not allowed")
        return addresses


class _DeadlineStream(httpcore.NetworkStream):
    """A stream that ends at a moment of the monotonic clock, however often something comes in."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: float) -> None:
        self._stream, self._deadline = stream, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(self._deadline, timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _left(self._deadline, timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = _left(self._deadline, timeout)
        return _DeadlineStream(self._stream.start_tls(ssl_context, server_hostname, left), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _left(deadline: float, timeout: float | None) -> float:
    """Seconds until the deadline, at most `timeout`."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout("the deadline has passed")
    return left if timeout is None else min(left, timeout)
