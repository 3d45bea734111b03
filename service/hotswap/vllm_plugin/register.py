"""The entry point: vLLM calls `register` in each of its processes, perhaps more than once."""

import logging
import os

from .resolver import Resolver
from .settings import Misconfigured, read_settings

log = logging.getLogger("vllm.plugins.lethe")
NAME = "lethe"


def register() -> None:
    """Put the resolver into vLLM's registry, without a look at the network or the disk. Never raises."""
    from vllm.lora.request import LoRARequest
    from vllm.lora.resolver import LoRAResolver, LoRAResolverRegistry

    class LetheResolver(LoRAResolver):  # type: ignore[misc] # vLLM is not there where types are checked
        """As vLLM's registry wants it."""

        def __init__(self, resolver: Resolver) -> None:
            self._resolver = resolver

        async def resolve_lora(self, base_model_name: str, lora_name: str) -> LoRARequest | None:
            return await self._resolver.resolve(base_model_name, lora_name)

    if NAME in LoRAResolverRegistry.get_supported_resolvers():
        return
    try:
        settings = read_settings(os.environ)
    except Misconfigured as error:
        log.error("Lethe: adapters are not resolved: %s", error)
        return
    if settings is None:
        log.info("Lethe: adapters are not resolved, because LETHE_URL is not set.")
        return
    # The server gives the adapter an id of its own.
    resolver = Resolver(settings, lambda name, path: LoRARequest(lora_name=name, lora_int_id=1, lora_path=path))
    LoRAResolverRegistry.register_resolver(NAME, LetheResolver(resolver))
