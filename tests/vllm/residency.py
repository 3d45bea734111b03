"""Loaded into the worker of a real vLLM server (`--worker-extension-cls`), to see what no route tells."""

from collections.abc import Iterator
from typing import Any


class Residency:
    """Mixed into vLLM's worker; called through `/collective_rpc`."""

    model_runner: Any

    def holding(self, needle: str) -> list[str]:
        """The cached adapters and slots that hold the bytes, given in hex. vLLM turns other answers into strings."""
        wanted = bytes.fromhex(needle)
        return [where for where, tensor in self._lora_tensors() if wanted in tensor.contiguous().numpy().tobytes()]

    def _lora_tensors(self) -> Iterator[tuple[str, Any]]:
        manager = self.model_runner.lora_manager._adapter_manager
        for adapter_id, adapter in manager.list_adapters().items():
            for layer in adapter.loras.values():
                # Fused projections hold one matrix a part, or none for parts without an adapter.
                parts = layer.lora_a if isinstance(layer.lora_a, list) else [layer.lora_a]
                yield from ((f"adapter {adapter_id}", part) for part in parts if part is not None)
        for module in manager.modules.values():
            for stacked in module.lora_a_stacked:
                yield from ((f"slot {slot}", tensor) for slot, tensor in enumerate(stacked))
