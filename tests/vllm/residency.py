"""Loaded into the worker of a real vLLM server (`--worker-extension-cls`), to see what no route tells."""

from collections.abc import Iterator
from typing import Any


class Residency:
    """Mixed into vLLM's worker; called through `/collective_rpc`."""

    model_runner: Any

    def holds(self, needle: str) -> bool:
        """Whether the bytes, in hex, are in a cached adapter or in a slot."""
        wanted = bytes.fromhex(needle)
        return any(wanted in tensor.contiguous().numpy().tobytes() for tensor in self._lora_tensors())

    def _lora_tensors(self) -> Iterator[Any]:
        manager = self.model_runner.lora_manager._adapter_manager
        for adapter in manager.list_adapters().values():
            for layer in adapter.loras.values():
                # Fused projections hold one matrix a part, or none for parts without an adapter.
                parts = layer.lora_a if isinstance(layer.lora_a, list) else [layer.lora_a]
                yield from (part for part in parts if part is not None)
        for module in manager.modules.values():
            yield from module.lora_a_stacked
