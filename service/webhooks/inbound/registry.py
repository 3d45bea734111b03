"""Every provider, by its name: those of webhooks have it in their URL."""

from collections.abc import Mapping

from service.domain.errors import NotFound
from service.domain.inbound import Provider
from service.webhooks.inbound.drp.signed import AgentKey
from service.webhooks.inbound.provider import InboundProvider, Secrets
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
# The Data Rights Protocol has routes of its own.
SECRETS: Mapping[Provider, Secrets] = {**PROVIDERS, Provider.drp: AgentKey()}


def provider_named(name: str) -> InboundProvider:
    """Raises NotFound: nobody of this name sends webhooks."""
    for provider, sender in PROVIDERS.items():
        if name == provider:
            return sender
    raise NotFound(
        "There is no such provider.",
        field="provider",
        fix=f"Use one of {', '.join(PROVIDERS)}.",
        code="unknown-provider",
    )
