"""Privacy platforms that file requests by webhook."""

from enum import StrEnum


class Provider(StrEnum):
    """Who sends, hence how a delivery is verified and read."""

    standard_webhooks = "standard_webhooks"
    transcend = "transcend"
    shopify = "shopify"
    segment = "segment"
    api_key = "api_key"
    drp = "drp"


# Two, so that a secret can be replaced while deliveries signed with the old one are still under way.
MAX_SECRETS = 2
# Of an agent's bearer tokens, for the same reason.
MAX_TOKENS = 2
