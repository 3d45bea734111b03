"""Every provider, by the name in its URL."""

from collections.abc import Mapping

from service.domain.errors import NotFound
from service.domain.inbound import Provider
from service.webhooks.inbound.provider import InboundProvider
from service.webhooks.inbound.providers.api_key import SharedKey
from service.webhooks.inbound.providers.segment import Segment
from service.webhooks.inbound.providers.shopify import Shopify
from service.webhooks.inbound.providers.standard_webhooks import StandardWebhooks
from service.webhooks.inbound.providers.transcend import Transcend

PROVIDERS: Mapping[Provider, InboundProvider] = {
    Provider.standard_webhooks: StandardWebhooks(),
    Provider.transcend: Transcend(),
    Provider.shopify: Shopify(),
    Provider.segment: Segment(),
    Provider.api_key: SharedKey(),
}


def provider_named(name: str) -> Provider:
    """Raises NotFound."""
    try:
        return Provider(name)
    except ValueError:
        raise NotFound(
            "There is no such provider.",
            field="provider",
            fix=f"Use one of {', '.join(Provider)}.",
            code="unknown-provider",
        ) from None
