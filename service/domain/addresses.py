"""IPv4 addresses that IPv6 addresses stand for: whoever forwards them may lead there, whatever the prefix says."""

from ipaddress import IPv4Address, IPv6Address, IPv6Network
from typing import TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address

# The last 32 bits are an IPv4 address: mapped and compatible (RFC 4291), translated (RFC 2765), NAT64 (RFC 6052).
_IN_THE_END = tuple(map(IPv6Network, ("::ffff:0:0/96", "::/96", "::ffff:0:0:0/96", "64:ff9b::/96")))


def plain(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for, or the address itself. 6to4 is in RFC 3056."""
    if not isinstance(address, IPv6Address):
        return address
    if any(address in network for network in _IN_THE_END) and int(address) > 1:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.sixtofour or address
