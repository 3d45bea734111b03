"""Where the sender of a request may have its status sent to."""

from collections.abc import Collection
from urllib.parse import urlsplit

from service.domain.errors import InvalidInput
from service.egress.address import AddressPolicy

MAX_URLS = 10


def check_callback(url: str, hosts: Collection[str], policy: AddressPolicy, *, field: str, fix: str) -> None:
    """`hosts`: those that the operator allows, in lower case. `fix`: how one is allowed.

    Raises:
        InvalidInput: the URL could never be sent to, or leads to another host.
    """
    policy.check_url(url, field=field)
    if urlsplit(url).hostname not in hosts:
        raise InvalidInput(
            "Nobody allowed status callbacks to this host.", field=field, fix=fix, code="callback-refused"
        )
