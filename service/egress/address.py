"""Which addresses outgoing connections may lead to: the public internet, and networks that the operator allows.

A URL that a caller gives could name the deployment's own insides (server-side request forgery, OWASP API7:2023): the
database, the cloud's metadata service, whatever listens on the loopback. A name tells nothing, because its answer can
change between a check and the connection (DNS rebinding), so the address itself is checked, at every connection.

The lists are IANA's special-purpose address registries (RFC 6890 and what was registered since), spelt out because
`ipaddress.is_global` differs between releases of Python. Of IPv6 only global unicast (2000::/3, RFC 4291) is public.
"""

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Self, TypeAlias
from urllib.parse import SplitResult, urlsplit

from service.domain.addresses import Address, plain
from service.domain.errors import InvalidInput
from service.settings import Settings, port_range

Network: TypeAlias = IPv4Network | IPv6Network

MAX_URL_LENGTH = 2000
_PORTS = {"http": 80, "https": 443}

_NOT_PUBLIC = tuple(
    map(
        ip_network,
        (
            "0.0.0.0/8",  # this network
            "10.0.0.0/8",  # private
            "100.64.0.0/10",  # carrier-grade NAT, a cloud's metadata
            "127.0.0.0/8",  # loopback
            "168.63.129.16/32",  # a cloud's host agent on a public address
            "169.254.0.0/16",  # link-local, clouds' metadata
            "172.16.0.0/12",  # private
            "192.0.0.0/24",  # protocol assignments, a cloud's metadata
            "192.0.2.0/24",  # documentation
            "192.88.99.0/24",  # 6to4 relays
            "192.168.0.0/16",  # private
            "198.18.0.0/15",  # benchmarks
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, broadcast
            "2001::/23",  # protocol assignments, Teredo
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4, which embeds IPv4 addresses
            "3fff::/20",  # documentation
        ),
    )
)
_GLOBAL_UNICAST = IPv6Network("2000::/3")


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """What outgoing connections may reach.

    Args:
        networks: those that may be reached although they are not public.
        allow_http: whether URLs may be `http`.
        ports: those that URLs may name: what listens on others may take a message for something else.
    """

    networks: tuple[Network, ...] = ()
    allow_http: bool = False
    ports: tuple[range, ...] = (range(80, 81), range(443, 444), range(1024, 65_536))

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The policy of a deployment."""
        networks = tuple(map(ip_network, settings.allow_networks.split()))
        return cls(networks, settings.allow_http, tuple(map(port_range, settings.allow_ports.split())))

    def allows(self, address: Address) -> bool:
        """Where an IPv6 address stands for an IPv4 one, both must be allowed: a translator may forward to either."""
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return self._allows(address) and self._allows(plain(address))

    def _allows(self, address: Address) -> bool:
        if any(address in network for network in self.networks):
            return True
        if isinstance(address, IPv6Address) and address not in _GLOBAL_UNICAST:
            return False
        return not any(address in network for network in _NOT_PUBLIC)

    def check_url(self, url: str, *, field: str) -> None:
        """Refuse what could never be sent to. Where its host leads is only known when it is connected to.

        Raises:
            InvalidInput: it is no URL, holds credentials or a fragment, or its scheme, its port or its literal address
                is not allowed.
        """
        parts = _parts(url)
        if parts is None or not parts.hostname or len(url) > MAX_URL_LENGTH:
            raise InvalidInput(
                "This is no URL of a host.", field=field, fix="Give one like https://example.com/hook.",
                code="invalid-url",
            )  # fmt: skip
        if parts.scheme not in (("https", "http") if self.allow_http else ("https",)):
            raise InvalidInput(
                "Its scheme is not allowed.", field=field, fix="Use https, or set LETHE_ALLOW_HTTP.",
                code="scheme-refused",
            )  # fmt: skip
        if parts.username is not None or parts.password is not None or parts.fragment:
            raise InvalidInput(
                "It holds credentials or a fragment.", field=field, fix="Leave them out; requests are signed.",
                code="invalid-url",
            )  # fmt: skip
        port = parts.port or _PORTS[parts.scheme]
        if not any(port in ports for ports in self.ports):
            raise InvalidInput(
                "Its port is not allowed.", field=field, fix="Use another, or have LETHE_ALLOW_PORTS name it.",
                code="port-refused",
            )  # fmt: skip
        literal = _literal(parts.hostname)
        if literal is not None and not self.allows(literal):
            raise InvalidInput(
                "Its address is not public.", field=field,
                fix="Use a public one, or have LETHE_ALLOW_NETWORKS name its network.", code="address-refused",
            )  # fmt: skip


def _parts(url: str) -> SplitResult | None:
    """The URL's parts; None if it is none, or holds what some parsers drop and others keep."""
    if not url.isascii() or not url.isprintable() or any(character in url for character in ' \\"<>^`{|}'):
        return None
    try:
        parts = urlsplit(url)
        return None if parts.port == 0 else parts
    except ValueError:
        return None


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
